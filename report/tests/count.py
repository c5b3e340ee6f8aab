"""count.py FOLDER [DIMENSION=VALUE…]: what the page has to show, counted from the log files without the plugin.

Written by what AWS says of records and what the descriptions of the fields say, for judging the report. DIMENSION=VALUE
counts only the events that have the value; DIMENSION= those that have none. The answer is JSON.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from datetime import datetime, timezone
from pathlib import Path

folder, *choices = sys.argv[1:]


def text(value):
    """As fields show a member: a text as it is, everything else as JSON, null as nothing."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def member(record, *path):
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return text(record)


def in_arn(arn):
    parts = (arn or "").split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        return None
    resource = parts[5]
    if resource.startswith("assumed-role/"):
        return resource.removeprefix("assumed-role/") or None
    return resource.rsplit("/", 1)[-1] or None


def who(record):
    of = lambda *path: member(record, "userIdentity", *path) or None
    kind = of("type")
    account = of("accountId")
    if account:
        is_anonymous = account.lower() == "anonymous" or account == "ANONYMOUS_PRINCIPAL"
        account = "anonymous" if is_anonymous else f"account {account}"
    name = None
    if kind == "Root":
        name = "root"
    elif kind == "AssumedRole":
        name = in_arn(of("arn"))
        role = of("sessionContext", "sessionIssuer", "userName")
        if not name and role:
            session = (of("principalId") or "").split(":")
            name = f"{role}/{session[1]}" if len(session) == 2 else role
    elif kind == "AWSService":
        name = of("invokedBy")
    elif kind == "AWSAccount":
        name = account
    elif kind == "IdentityCenterUser":
        name = of("onBehalfOf", "userId")
    elif kind == "FederatedUser":
        name = in_arn(of("arn"))
    service = member(record, "sourceIPAddress")
    if member(record, "eventType") == "AwsServiceEvent":
        service = member(record, "eventSource")
    elif not (service or "").endswith(".amazonaws.com"):
        service = None
    return (
        name
        or of("userName")
        or of("onBehalfOf", "userId")
        or in_arn(of("arn"))
        or of("principalId")
        or of("invokedBy")
        or account
        or service
        or "unknown"
    )


def tells_of_error(word):
    word = (word or "").strip().lower()
    nothing = word in ("", "none", "null")
    success = re.fullmatch("2[0-9][0-9]", word) or word in ("0", "ok", "success", "succeeded", "successful")
    return not nothing and not success


def result_of_sign_in(record):
    for name in ("ConsoleLogin", "CheckMfa", "PasswordUpdated", "SwitchRole"):
        result = member(record, "responseElements", name)
        if result is not None:
            return result
    return None


def says_failure(record):
    if member(record, "eventType") not in ("AwsConsoleSignIn", "AwsServiceEvent"):
        return False
    name = member(record, "eventName")
    return any(member(record, where, name) == "Failure" for where in ("responseElements", "serviceEventDetails"))


def mfa(record):
    used = member(record, "additionalEventData", "MFAUsed")
    if used is not None:
        return {"yes": "true", "true": "true", "no": "false", "false": "false"}.get(used.lower())
    return member(record, "userIdentity", "sessionContext", "attributes", "mfaAuthenticated")


def outcome(record):
    for name in ("errorCode", "errorMessage"):
        if tells_of_error(member(record, name)):
            return member(record, name)
    result = result_of_sign_in(record)
    if result is None:
        return "Failure" if says_failure(record) else None
    is_of_aws = member(record, "userIdentity", "type") in ("IAMUser", "Root")
    if result == "Success" and is_of_aws:
        return {"true": "Success with MFA", "false": "Success without MFA"}.get(mfa(record), result)
    return result


def failed(record):
    code = member(record, "errorCode")
    if code is not None and code.strip().lower() not in ("", "none", "null"):
        return tells_of_error(code) or says_failure(record)
    return tells_of_error(member(record, "errorMessage")) or says_failure(record)


def console(record):
    agent = member(record, "userAgent") or ""
    return (
        member(record, "sessionCredentialFromConsole") == "true"
        or member(record, "eventType") in ("AwsConsoleSignIn", "AwsConsoleAction")
        or "onsole" in re.split("[/,]", agent)[0]
    )


def beginning(value):
    """Values are counted by 255 bytes of their beginning, which are shown with an ellipsis."""
    if value is None or len(value.encode()) <= 255:
        return value
    return value.encode()[:255].decode(errors="ignore") + "\u2026"


def counted(record):
    source = member(record, "eventSource")
    result = result_of_sign_in(record)
    values = {
        "name": member(record, "eventName"),
        "who": who(record),
        "service": source and source.removesuffix(".amazonaws.com"),
        "agent": member(record, "userAgent"),
        "outcome": outcome(record),
        "error": member(record, "errorCode"),
        "region": member(record, "awsRegion"),
        "account": next(
            (
                account
                for account in (
                    member(record, "userIdentity", "accountId"),
                    member(record, "recipientAccountId"),
                    member(record, "accountId"),
                )
                if account is not None
            ),
            None,
        ),
        "address": member(record, "sourceIPAddress"),
        "country": None,
        "console": str(console(record)).lower(),
        "readonly": member(record, "readOnly"),
        "failed": str(failed(record)).lower(),
        "signin": result,
        "mfa": None if result is None else mfa(record),
    }
    return {name: beginning(value) for name, value in values.items()}


chosen = defaultdict(set)
for choice in choices:
    name, _, value = choice.partition("=")
    chosen[name].add(value or None)
events = 0
dimensions = defaultdict(Counter)
over_time = defaultdict(Counter)
week = Counter()
identities = {}
sign_ins, by_hand = Counter(), Counter()
first, last = None, None
for file in sorted(Path(folder).rglob("*.json")):
    for record in json.loads(file.read_text())["Records"]:
        values = counted(record)
        if any(values[name] not in allowed for name, allowed in chosen.items()):
            continue
        events += 1
        for name, value in values.items():
            dimensions[name][value] += 1
        identity = identities.setdefault(
            values["who"],
            {"events": 0, "failed": 0, "first": None, "last": None}
            | {name: Counter() for name in ("service", "error", "address")},
        )
        identity["events"] += 1
        identity["failed"] += values["failed"] == "true"
        for name in ("service", "error", "address"):
            if values[name] is not None:
                identity[name][values[name]] += 1
        if values["signin"] is not None:
            sign_ins[tuple(values[name] for name in ("who", "name", "signin", "mfa", "outcome", "address"))] += 1
        if values["console"] == "true" and values["readonly"] == "false":
            by_hand[tuple(values[name] for name in ("who", "name", "service"))] += 1
        try:
            time = datetime.strptime(record["eventTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        except (KeyError, ValueError):
            continue
        week[time.weekday() * 24 + time.hour] += 1
        second = int(time.timestamp())
        over_time[second // 60][values["outcome"]] += 1
        first, last = min(first or second, second), max(last or second, second)
        identity["first"] = min(identity["first"] or second, second)
        identity["last"] = max(identity["last"] or second, second)

pairs = lambda counter: [[value, count] for value, count in counter.items()]
print(
    json.dumps(
        {
            "events": events,
            "first": first,
            "last": last,
            "dimensions": {name: pairs(counter) for name, counter in dimensions.items()},
            "minutes": [[minute, pairs(counter)] for minute, counter in sorted(over_time.items())],
            "week": [week[hour] for hour in range(168)],
            "identities": [
                [
                    name,
                    {
                        key: pairs(value) if isinstance(value, Counter) else value
                        for key, value in identity.items()
                    },
                ]
                for name, identity in identities.items()
            ],
            "sign_ins": [[*key, count] for key, count in sign_ins.items()],
            "by_hand": [[*key, count] for key, count in by_hand.items()],
        }
    )
)
