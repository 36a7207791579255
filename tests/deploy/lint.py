"""cfn-lint over the translated template: over a few combinations of parameters in the tests, or over all of them.

`python -m tests.deploy.lint` (`make validate-all`) lints all of them.
"""

import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

from tests.deploy.translated import COMBINATIONS, conditions, translate

if TYPE_CHECKING:
    from cfnlint.runner import Runner

# The name of a parameter or a condition, with a value that it has.
Side = tuple[str, str | bool]


@functools.cache
def runner() -> "Runner":
    """Load cfn-lint's rules and schemas, once for all templates: it takes as long as linting one."""
    from cfnlint.config import ConfigMixIn, ManualArgs  # noqa: PLC0415 (late: half a second, and few processes lint)
    from cfnlint.runner import Runner  # noqa: PLC0415 (late, as above)

    return Runner(ConfigMixIn(**ManualArgs(regions=["us-east-1"])))


def findings(parameters: dict[str, str]) -> list[str]:
    """Give what cfn-lint finds in the template as SAM translates it with these parameters."""
    from cfnlint.decode.decode import decode_str  # noqa: PLC0415 (late, as above)

    template, errors = decode_str(json.dumps(translate(parameters)))
    return [str(match) for match in errors or runner().validate_template(template)]


def pairs(parameters: dict[str, str]) -> set[tuple[Side, Side]]:
    """Give each two sides of parameters and conditions that are together in a combination."""
    sides: list[Side] = [*parameters.items(), *conditions(parameters).items()]
    return set(itertools.combinations(sides, 2))


def covering() -> list[dict[str, str]]:
    """Choose combinations that have all pairs between them, each time the one with the most that are new."""
    of_each = [(parameters, pairs(parameters)) for parameters in COMBINATIONS]
    missing = set().union(*(found for _, found in of_each))
    chosen = []
    while missing:
        parameters, found = max(of_each, key=lambda one: len(one[1] & missing))
        chosen.append(parameters)
        missing -= found
    return chosen


def lint_all(
    combinations: Sequence[dict[str, str]] = COMBINATIONS,
    find: Callable[[dict[str, str]], list[str]] = findings,
) -> int:
    """Lint combinations on all cores, and print what is found and how far it is; give how many are wrong."""
    begun, wrong = time.monotonic(), 0
    with ProcessPoolExecutor() as pool:
        running = {pool.submit(find, parameters): parameters for parameters in combinations}
        for done, future in enumerate(as_completed(running), 1):
            if found := future.result():
                wrong += 1
                print(running[future], *found, sep="\n    ", flush=True)
            if done % 32 == 0 or done == len(running):
                seconds = time.monotonic() - begun
                print(
                    f"{done} of {len(running)} templates linted, {wrong} wrong ({seconds:.0f} s)", flush=True
                )
    return wrong


if __name__ == "__main__":
    sys.exit(1 if lint_all() else 0)
