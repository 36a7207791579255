"""template.yaml as CloudFormation gets it: translated by SAM's own translator, with parameters' values."""

import functools
import itertools
import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())

ACCOUNT = "123456789012"
PSEUDO = {
    "AWS::StackName": "oam",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::NoValue": None,
}

# The parameters that conditions look at, with a value for each side of the condition.
SIDES = {
    "Environment": ("development", "production"),
    "Rollout": ("Canary", "AllAtOnce"),
    "StatusBucketName": ("", "an-existing-bucket"),
    "MockCatalog": ("false", "true"),
    "ApiTokenSecretArn": ("", f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:oam-AbCdEf"),
    "KmsKeyArn": ("", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234abcd"),
    "AlarmEmail": ("", "oncall@example.org"),
    "ProducerPrincipals": ("", f"{ACCOUNT},arn:aws:iam::{ACCOUNT}:role/tiler"),
}
# A condition that chooses one value, and makes no resource: a side in every other combination, so that each side
# meets both sides of each parameter above.
ALTERNATING = {"Debug": ("", "oam:*")}
COMBINATIONS = [
    dict(zip(SIDES, values, strict=True))
    | {name: sides[number.bit_count() % 2] for name, sides in ALTERNATING.items()}
    for number, values in enumerate(itertools.product(*SIDES.values()))
]


class NoPolicies:
    """Stands for the list of AWS-managed policies, which this template asks for none of."""

    def load(self) -> dict[str, str]:
        return {}


def with_defaults(template: dict[str, Any], parameters: dict[str, str]) -> dict[str, Any]:
    """Give a template with these values its parameters' defaults."""
    known = template["Parameters"]
    return {
        **template,
        "Parameters": known | {name: known[name] | {"Default": value} for name, value in parameters.items()},
    }


def translate(parameters: dict[str, str]) -> dict[str, Any]:
    """Translate the template, these values its parameters' defaults, and its code in a bucket."""
    template = json.loads(json.dumps(with_defaults(TEMPLATE, parameters)))
    template["Resources"]["StatusPublisher"]["Properties"]["CodeUri"] = "s3://artifacts/publisher.zip"
    with patch.dict(os.environ, AWS_DEFAULT_REGION="us-east-1"):
        translated: dict[str, Any] = transform(template, {}, NoPolicies())
    return translated


class Template:
    """A template with its intrinsic functions worked out, as far as this one uses them."""

    def __init__(self, template: dict[str, Any]) -> None:
        self.template = template
        self.parameters = {name: found["Default"] for name, found in template["Parameters"].items()}
        self.parameters |= {
            "ProducerPrincipals": [p for p in str(self.parameters["ProducerPrincipals"]).split(",") if p]
        }
        self.resources = {
            name: found
            for name, found in template["Resources"].items()
            if "Condition" not in found or self.holds(found["Condition"])
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Give the worked-out properties of all resources of a type."""
        return {
            name: self.properties(name) for name, found in self.resources.items() if found["Type"] == kind
        }

    def properties(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.value(self.resources[name].get("Properties", {}))
        return found

    def holds(self, condition: str) -> bool:
        return bool(self.value(self.template["Conditions"][condition]))

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self.value, node) if value is not None]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            work_out = {
                "Ref": self._ref,
                "Condition": self.holds,
                "Fn::GetAtt": lambda a: self._attribute(*(a.split(".") if isinstance(a, str) else a)),
                "Fn::If": lambda a: self.value(a[1] if self.holds(a[0]) else a[2]),
                "Fn::Equals": lambda a: str(self.value(a[0])) == str(self.value(a[1])),
                "Fn::Not": lambda a: not self.value(a[0]),
                "Fn::And": lambda a: all(map(self.value, a)),
                "Fn::Join": lambda a: a[0].join(self.value(a[1])),
                "Fn::FindInMap": lambda a: self._find_in_map(*(str(self.value(part)) for part in a)),
                "Fn::Sub": self._sub,
            }.get(function)
            if work_out:
                return work_out(argument)
        return {key: value for key, part in node.items() if (value := self.value(part)) is not None}

    def _find_in_map(self, mapping: str, first: str, second: str) -> Any:
        return self.template["Mappings"][mapping][first][second]

    def _ref(self, name: str) -> Any:
        if name in PSEUDO:
            return PSEUDO[name]
        return self.parameters.get(name, f"<{name}>")

    def _attribute(self, name: str, attribute: str) -> str:
        assert name in self.resources, f"GetAtt of {name}, which is not there"
        kinds = {"AWS::SQS::Queue": "sqs", "AWS::S3::Bucket": "s3"}
        kind = kinds.get(self.resources[name]["Type"], "other")
        return f"arn:{kind}:<{name}>" if attribute == "Arn" else f"<{name}>.{attribute}"

    def _sub(self, argument: Any) -> str:
        text, own = argument if isinstance(argument, list) else (argument, {})
        parts = text.split("${")
        found: str = parts[0]
        for part in parts[1:]:
            name, _, rest = part.partition("}")
            if name in own:
                value = self.value(own[name])
            elif "." in name:
                value = self._attribute(*name.split("."))
            else:
                value = self._ref(name)
            found += f"{value}{rest}"
        return found


@functools.cache
def translation() -> str:
    """Translate the template once for all parameters: it is the same with all (test_template.py shows it)."""
    return json.dumps(translate({}))


class Stack(Template):
    """The template as SAM translates it, worked out with these parameters."""

    def __init__(self, **parameters: str) -> None:
        super().__init__(with_defaults(json.loads(translation()), parameters))


def conditions(parameters: dict[str, str]) -> dict[str, bool]:
    """Tell which of the template's conditions hold with these parameters."""
    template = Template({**with_defaults(TEMPLATE, parameters), "Resources": {}})
    return {name: template.holds(name) for name in TEMPLATE["Conditions"]}


if __name__ == "__main__":
    print(json.dumps(translate({}), indent=2))  # noqa: T201 (for `make scan`)
