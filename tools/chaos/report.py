"""The report of a run."""

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.chaos.judge import Finding
from tools.chaos.schedule import PROFILES, SABOTAGE

if TYPE_CHECKING:
    from tools.chaos.harness import Run

_SHOWN = 25  # findings


def as_json(run: "Run", findings: list[Finding]) -> dict[str, Any]:
    """Give a run's numbers."""
    kinds = Counter(finding.kind for finding in findings)
    schedule, sqs = run.schedule, run.sqs
    planned = {message.number: message for message in schedule.messages}
    valid = [m for m in sqs.messages.values() if planned[m.number].job_id is not None]
    died = [m for m in sqs.messages.values() if m.state in ("dead", "moved")]
    return {
        "seed": schedule.seed,
        "profile": schedule.profile.name,
        "schedule": schedule.digest,
        "sabotage": run.sabotage,
        "workers": schedule.profile.workers,
        "jobs": len(schedule.jobs),
        "messages": len(schedule.messages),
        "messages_by_kind": dict(Counter(message.kind for message in schedule.messages)),
        "deliveries": sqs.counts["deliveries"],
        "redelivered": sum(1 for message in sqs.messages.values() if len(message.receives) > 1),
        "most_receives_of_a_valid_message": max((len(m.receives) for m in valid), default=0),
        "visibility_timeouts_changed": sqs.counts["visibility timeouts changed"],
        "requests": dict(run.proxy.requests),
        "faults": dict(sorted(run.proxy.faults.items()))
        | {"sqs: delivered twice at once": sqs.counts["delivered twice at once"]},
        "faults_total": sum(run.proxy.faults.values()) + sqs.counts["delivered twice at once"],
        "overwrites": sum(1 for vs in run.s3.versions.values() for v in vs if v.writer == -1),
        "kills": len(run.kills),
        "kills_by_moment": dict(sorted(Counter(why for _, _, why in run.kills).items())),
        "versions": sum(len(versions) for versions in run.s3.versions.values()),
        "conflicts": run.s3.counts["412"] + run.proxy.faults["s3: 409"],
        "catalog_posts": run.catalog.counts["taken"],
        "catalog_entries": len(run.catalog.entries),
        "duplicates_posted": dict(sorted(run.repeats.items())),
        "duplicates_posted_total": sum(run.repeats.values()),
        "lost": kinds["lost"],
        "regressed": kinds["regressed"],
        "dead_letters": len(sqs.dead),
        "dead_letters_redriven": run.redriven,
        "valid_messages_dead_lettered": sum(1 for m in died if planned[m.number].job_id is not None),
        "of_these_unlucky_by_schedule": sum(
            1 for m in died if planned[m.number].job_id is not None and m.unlucky
        ),
        "known_limits": dict(sorted(run.limits.items())),
        "seconds": round(run.seconds, 1),
        "seconds_of_trouble": round(run.trouble_over, 1),
        "findings": dict(sorted(kinds.items())),
        "details": [[finding.kind, finding.job_id, finding.text] for finding in findings],
    }


def write_journal(run: "Run", path: Path) -> None:
    """Write all that happened to objects, POSTs, workers and messages, in order, a line of JSON for each."""
    lines: list[tuple[float, dict[str, Any]]] = []
    lines += [
        (version.at, {"wrote": key, "worker": version.writer, "body": _abridged(version.body)})
        for key, versions in run.s3.versions.items()
        for version in versions
    ]
    for post in run.catalog.posts:
        fate = post.request.fate.name if post.request.fate else None
        told = {"posted": post.uri, "worker": post.request.worker, "images": post.images, "fault": fate}
        lines.append((post.taken, told))
    for request in run.proxy.met:
        assert request.fate
        told = {"fault": request.fate.name, "of": f"{request.service} {request.method} {request.path}"}
        lines.append((request.begun, told | {"worker": request.worker, "operation": request.target}))
    for at, number, why in run.kills:
        lines.append((at, {"killed": why, "worker": number}))
    lines += [
        (at, {"received": message.message_id, "worker": worker, "body": message.body[:300]})
        for message in run.sqs.messages.values()
        for worker, at in message.receives
    ]
    with path.open("w") as file:
        for at, line in sorted(lines, key=lambda line: line[0]):
            file.write(json.dumps({"at": round(at, 3), **line}) + "\n")


def again(run: "Run") -> str:
    """Give the command that runs the same schedule."""
    profile = run.schedule.profile
    command = f".venv/bin/python -m tools.chaos --{profile.name} --seed {run.schedule.seed}"
    if profile.jobs != PROFILES[profile.name].jobs:
        command += f" --jobs {profile.jobs}"
    return f"{SABOTAGE}={run.sabotage} {command}" if run.sabotage else command


def _abridged(body: bytes) -> Any:
    try:
        stored = json.loads(body)
    except ValueError:
        return repr(body[:100])
    if not isinstance(stored, dict) or not isinstance(stored.get("history"), list):
        return stored
    history = [
        f"{entry['messageId']} {entry['sentAt']} {entry['stage']} {entry['status']}"
        for entry in stored["history"]
    ]
    own = {name: stored.get(name) for name in ("stage", "status", "attempt", "catalog")}
    return own | {"history": history}


def as_text(run: "Run", findings: list[Finding], directory: Path | None) -> str:
    """Write a run's report."""
    told = as_json(run, findings)

    def listed(values: dict[str, int], indent: str = "  ") -> list[str]:
        return [f"{indent}{count:>7,}  {name}" for name, count in values.items()]

    lines = [
        f"Chaos: seed {told['seed']}, {told['profile']}, schedule {told['schedule']},"
        f" {told['workers']} workers" + (f", sabotage {told['sabotage']}" if told["sabotage"] else ""),
        f"messages            {told['messages']:>7,}  of {told['jobs']:,} jobs",
        *listed(told["messages_by_kind"], "              "),
        f"deliveries          {told['deliveries']:>7,}",
        f"requests            {sum(told['requests'].values()):>7,}",
        f"faults              {told['faults_total']:>7,}",
        *listed(told["faults"], "              "),
        f"API's overwrites    {told['overwrites']:>7,}",
        f"kills               {told['kills']:>7,}",
        *listed(told["kills_by_moment"], "              "),
        f"conflicts           {told['conflicts']:>7,}",
        f"lost                {told['lost']:>7,}",
        f"regressed           {told['regressed']:>7,}",
        f"catalog POSTs       {told['catalog_posts']:>7,}  for {told['catalog_entries']:,} entries",
        f"duplicates posted   {told['duplicates_posted_total']:>7,}",
        *listed(told["duplicates_posted"], "              "),
        f"dead letters        {told['dead_letters']:>7,}"
        f"  ({told['messages_by_kind'].get('poison', 0):,} poison;"
        f" {told['dead_letters_redriven']:,} redriven,"
        f" {told['valid_messages_dead_lettered']:,} of them valid,"
        f" {told['of_these_unlucky_by_schedule']:,} by the schedule)",
    ]
    if told["known_limits"]:
        lines += ["known limits met", *listed(told["known_limits"], "              ")]
    lines.append(
        f"wall time           {told['seconds']:>7.1f} s, {told['seconds_of_trouble']:.1f} of them trouble"
    )
    if findings:
        lines.append(f"FINDINGS            {len(findings):>7,}")
        lines += listed(told["findings"], "              ")
        lines += [f"  {finding.kind}: {finding.job_id} {finding.text}" for finding in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"  ... and {len(findings) - _SHOWN:,} more")
        lines.append(f"The workers' logs and the journal: {directory}")
        lines.append(f"Run it again: {again(run)}")
    else:
        lines.append("The model agrees: nothing was lost, and nothing went backwards.")
    return "\n".join(lines) + "\n"
