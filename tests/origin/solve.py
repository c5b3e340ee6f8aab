"""solve.py [--so-far] < EVENTS: ct.actor and the fields of docs/origin.md, for tests/origin.rs.

EVENTS are JSON, one a line, in the order in which a host sees them. For each of them a line with its fields, where every
event is known, or with --so-far those up to it only.
"""

import json
import re
import sys

SESSION_KEY = re.compile("ASIA[A-Z0-9]{16}")
SIGN_IN = re.compile("arn:[^:]*:signin:[^:]*:[^:]*:session/.*", re.DOTALL)
MOST = 16
HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"


def first_counts(pairs):
    """Of two members with one name the first counts."""
    members = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def text(record, path):
    """A member's text; None where it is missing, null or empty."""
    for name in path.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    if record is None or isinstance(record, str):
        return record or None
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)


# Who it is, in the words of ct.actor.


def name_in_arn(arn):
    parts = (arn or "").split(":", 5)
    if len(parts) < 6:
        return None
    role = parts[5].removeprefix("assumed-role/")
    return (role if role != parts[5] else parts[5].split("/")[-1]) or None


def role_session(event):
    name = name_in_arn(text(event, "userIdentity.arn"))
    role = text(event, "userIdentity.sessionContext.sessionIssuer.userName")
    parts = (text(event, "userIdentity.principalId") or "").split(":")
    return name or (f"{role}/{parts[1]}" if role and len(parts) == 2 else role)


def is_anonymous(account):
    return account is not None and (account.lower() == "anonymous" or account == "ANONYMOUS_PRINCIPAL")


def account_in_words(event):
    account = text(event, "userIdentity.accountId")
    if account is None:
        return None
    return "anonymous" if is_anonymous(account) else f"account {account}"


def service(event):
    if text(event, "eventType") == "AwsServiceEvent":
        return text(event, "eventSource")
    address = text(event, "sourceIPAddress") or ""
    return address if address.endswith(".amazonaws.com") else None


def actor(event):
    kind = text(event, "userIdentity.type")
    arn = text(event, "userIdentity.arn")
    if kind == "Root":
        return "root"
    named = {
        "AssumedRole": lambda: role_session(event),
        "AWSService": lambda: text(event, "userIdentity.invokedBy"),
        "AWSAccount": lambda: account_in_words(event),
        "IdentityCenterUser": lambda: text(event, "userIdentity.onBehalfOf.userId"),
        "FederatedUser": lambda: name_in_arn(arn),
    }.get(kind, lambda: None)()
    return (
        named
        or text(event, "userIdentity.userName")
        or text(event, "userIdentity.onBehalfOf.userId")
        or name_in_arn(arn)
        or text(event, "userIdentity.principalId")
        or text(event, "userIdentity.invokedBy")
        or account_in_words(event)
        or service(event)
        or "unknown"
    )


# What is noted.


def is_masked(value):
    return value is not None and set(value) <= {"*"}


def identifier(event, name):
    """An ID, unless it is masked or no text."""
    value = event.get(name)
    return value if isinstance(value, str) and value and not is_masked(value) else None


def arn_of(event):
    arn = text(event, "userIdentity.arn")
    return None if is_masked(arn) else arn


def are_copies(one, other):
    def same(name):
        return identifier(one, name) is not None and identifier(one, name) == identifier(other, name)

    arns = arn_of(one), arn_of(other)
    return (same("eventID") or same("sharedEventID")) and (None in arns or arns[0] == arns[1])


def event_id(event):
    return identifier(event, "eventID") or ""


def of_key(events):
    """The event that gave a key out; None where it is ambiguous."""
    if not all(one is other or are_copies(one, other) for one in events for other in events):
        return None

    def rank(event):
        has_key = text(event, "userIdentity.accessKeyId") is not None
        is_account = text(event, "userIdentity.type") == "AWSAccount"
        return (not has_key, is_account, event_id(event))

    return min(events, key=rank)


def of_sign_in(events):
    """The event that tells of a sign-in; None where it is ambiguous."""
    if len({text(event, "userIdentity.arn") for event in events}) > 1:
        return None
    return min(events, key=lambda event: (text(event, "eventName") != "AuthorizeOAuth2Access", event_id(event)))


def facts(events):
    """The event of each key and of each sign-in that leads to one."""
    keys, sign_ins = {}, {}
    for event in events:
        if text(event, "errorCode"):
            continue
        source = text(event, "eventSource")
        key = text(event, "responseElements.credentials.accessKeyId") or ""
        if source == "sts.amazonaws.com" and SESSION_KEY.fullmatch(key):
            keys.setdefault(key, []).append(event)
        sign_in = text(event, "additionalEventData.signInSessionArn")
        if source == "signin.amazonaws.com" and sign_in and SIGN_IN.fullmatch(sign_in):
            sign_ins.setdefault(sign_in, []).append(event)
    keys = {key: of_key(events) for key, events in keys.items()}
    sign_ins = {arn: of_sign_in(events) for arn, events in sign_ins.items()}
    return keys, sign_ins


# How it is followed.


def may_be_given_to(giver, identity):
    """Whether the session that was given out, as far as the event names it, is this identity's."""
    name, arn = text(giver, "eventName"), arn_of(identity)
    if name == "AssumeRoot":
        given = text(giver, "requestParameters.targetPrincipal")
        account = (arn or "").split(":")[4:5]
        return given is None or arn is not None and (given == arn or account == [given])
    if name == "GetSessionToken":
        given = arn_of(giver)
    else:
        given = text(giver, "responseElements.assumedRoleUser.arn") or text(giver, "responseElements.federatedUser.arn")
    return given is None or is_masked(given) or given == arn


def session_sign_in(event):
    return text(event, "userIdentity.sessionContext.signInSessionArn")


def told(event):
    """The beginning that an identity tells besides itself, as name, ARN and account, whatever its key leads to."""
    delegate = text(event, "userIdentity.invokedByDelegate.accountId")
    if delegate:
        return f"vendor {delegate}", None, delegate
    resource = text(event, "userIdentity.inScopeOf.credentialsIssuedTo")
    if resource and len(resource.split(":")) > 5:
        parts = resource.split(":")
        return f"{parts[2]}.amazonaws.com", resource, parts[4] or None
    return None


def issuer(event):
    """The user who asked for the session of a federated user."""

    def of(member):
        return text(event, f"userIdentity.sessionContext.sessionIssuer.{member}")

    if of("type") == "Role":
        return None
    name = "root" if of("type") == "Root" else of("userName") or name_in_arn(of("arn"))
    return name and (name, of("arn"), of("accountId"))


def is_session(event):
    """A role's session, or root's, which somebody else asked for."""
    resource = (text(event, "userIdentity.arn") or "").split(":", 5)[5:]
    principal = text(event, "userIdentity.principalId") or ""
    kind = text(event, "userIdentity.type")
    return (
        kind in ("AssumedRole", "FederatedUser")
        or kind != "AWSAccount"
        and (principal.startswith("AROA") or resource and resource[0].startswith(("assumed-role/", "role/")))
        or text(event, "userIdentity.sessionContext.assumedRoot") == "true"
    )


def is_itself(event):
    """Whether this identity stands at the beginning by itself."""
    name = actor(event)
    return not told(event) and not is_session(event) and name not in ("unknown", HIDDEN) and not is_masked(name)


def solve(event, keys, sign_ins):
    def up(identity):
        """The event that gave the session out, and whether a key says so."""
        if told(identity):
            return None, False
        by_key = keys.get(text(identity, "userIdentity.accessKeyId"))
        by_key = by_key if by_key and may_be_given_to(by_key, identity) else None
        sign_in = sign_ins.get(session_sign_in(identity))
        if sign_in and is_itself(identity) and arn_of(sign_in) != arn_of(identity):
            sign_in = None
        return by_key or sign_in, by_key is not None

    path, names, by_sign_in = [event], [actor(event)], False
    giver, by_key = up(event)
    while giver and len(path) <= MOST:
        by_sign_in = by_sign_in or not by_key
        if by_key or text(giver, "userIdentity.arn") != text(path[-1], "userIdentity.arn"):
            names.append(actor(giver))
        path.append(giver)
        giver, by_key = up(giver)
    last, is_cut = path[-1], giver is not None

    key = text(last, "userIdentity.accessKeyId") or ""
    beginning = told(last)
    if beginning is None and text(last, "userIdentity.type") == "FederatedUser":
        beginning = issuer(last)
    long_term = first_event = None
    if beginning:
        names.append(beginning[0])
    elif names[-1] == "unknown":
        names.pop()
    elif is_itself(last) and not is_cut:
        account = text(last, "userIdentity.accountId") or ""
        beginning = names[-1], arn_of(last), account if re.fullmatch("[0-9]+", account) else None
        long_term = key if key.startswith("AKIA") else None
        if len(path) > 1 and not key.startswith("ASIA"):
            first_event = identifier(last, "eventID")

    delegate = text(event, "userIdentity.invokedByDelegate.accountId")
    fields = {"ct.actor": f"vendor {delegate} as {actor(event)}" if delegate else actor(event)}
    if beginning:
        origin, fields["ct.origin.arn"], fields["ct.origin.accountid"] = beginning
        fields["ct.origin"] = origin
        fields["ct.origin.accesskeyid"] = long_term
        fields["ct.origin.eventid"] = first_event
        if by_sign_in or session_sign_in(last):
            fields["ct.origin.by"] = "signin"
        else:
            fields["ct.origin.by"] = "key" if len(path) > 1 else "identity"
    for identity in path:
        source = text(identity, "userIdentity.sessionContext.sourceIdentity")
        behalf = text(identity, "userIdentity.onBehalfOf.userId")
        if source or behalf:
            fields["ct.origin"] = source or behalf
            fields["ct.origin.by"] = "sourceidentity" if source else "onbehalfof"
            break
    if names:
        escaped = [name.replace("\\", "\\\\").replace(">", "\\>") for name in reversed(names)]
        escaped = ["\\…" if name == "…" else name for name in escaped]
        fields["ct.chain"] = " > ".join(escaped if beginning else ["…", *escaped])
        fields["ct.chain.length"] = len(names)
    return {name: value for name, value in fields.items() if value is not None}


if __name__ == "__main__":
    # Numbers keep their own spelling.
    events = [
        json.loads(line, object_pairs_hook=first_counts, parse_int=str, parse_float=str)
        for line in open(0, encoding="utf-8")
    ]
    known = facts(events)
    for number, event in enumerate(events, 1):
        if sys.argv[1:] == ["--so-far"]:
            known = facts(events[:number])
        print(json.dumps(solve(event, *known), ensure_ascii=False))
