"""A login that the server does not take."""

import re

from s3_to_sftp.diagnosis import handshake
from s3_to_sftp.diagnosis.cause import Cause
from s3_to_sftp.untrusted_text import decoded

PASSWORD_REFUSED = Cause(
    name="password-refused",
    sign="USERAUTH_FAILURE to the password. Servers answer alike for a wrong user, a wrong password and a "
    "locked account.",
    summary="{server} does not accept {what} for user {user!r}.",
    advice="Check the secret against what the partner has on record: user name and password. The account may "
    "be locked or disabled, too.{blanks}",
    to_partner="Your server {server} refuses the login of user {user}. Is the account active, and is the "
    "password the one that you have sent us?",
)
KEY_REFUSED = Cause(
    name="key-refused",
    sign="USERAUTH_FAILURE to the key.",
    summary="{server} does not accept {what} for user {user!r}.",
    advice="Send the partner the public key line; s3-to-sftp key --public prints it. Common causes at their "
    "side: the key is not in authorized_keys, its file or home may be written by others (StrictModes), "
    "from= or AllowUsers leave us out, or the server does not take keys of this type.",
    to_partner="Your server {server} refuses our key for user {user}. Please check that this line is in its "
    "authorized_keys, that home and file are not writable by others, and that from= and AllowUsers let us "
    "in: {public_key}",
)
KEY_TYPE_REFUSED = Cause(
    name="key-type-refused",
    sign="The server's list of signature algorithms (server-sig-algs) has none for our key.",
    summary="{server} takes no signatures of our key's type from user {user!r}: {what}.",
    advice="Make a key of another type (Ed25519, or RSA with 4096 bits), put it into the secret, and send "
    "the partner its public key.",
    to_partner="Your server {server} takes signatures by {accepted} alone; our key is of another type. Can "
    "you allow it, or shall we send a new key?",
)
METHOD_NOT_OFFERED = Cause(
    name="method-not-offered",
    sign="The list of methods (asked for by a `none` request) has none that the secret can serve.",
    summary="{server} takes no login by {held} from user {user!r}: it takes only {methods}.",
    advice="Put what it takes into the secret, or ask the partner to allow what the secret holds. Nothing "
    "was sent.",
    to_partner="Your server {server} takes only {methods} from user {user}; we hold a {held}. Can you allow "
    "that, or register what you need from us?",
)
BOTH_NEEDED = Cause(
    name="second-method-needed",
    sign="USERAUTH_FAILURE with partial success: the login was right, and more is wanted.",
    summary="{server} does not let user {user!r} in by {given} alone: it also wants {methods}.",
    advice="Put what it wants into the secret beside what is there, or ask the partner for an account "
    "without that.",
    to_partner="Your server {server} wants {methods} in addition to {given} from user {user}. Please send us "
    "what is missing, or allow {given} alone.",
)
SECOND_FACTOR = Cause(
    name="second-factor",
    sign="A prompt for a code (keyboard-interactive).",
    summary="{server} asks user {user!r} {prompt}: a second factor, which was not answered.",
    advice="Ask the partner for an account without a second factor, or to accept a key.",
    to_partner="Your server {server} asks user {user} for a one-time code. A machine has none: please exempt "
    "the account, or accept our key.",
)
OTHER_PROMPT = Cause(
    name="other-prompt",
    sign="A prompt that is no question for the current password.",
    summary="{server} asks user {user!r} {prompt}, which is not a question for the current password: it was "
    "not answered.",
    advice="Ask the partner for an account that logs in with a key or a password alone.",
    to_partner="Your server {server} asks user {user} {prompt} at the login. A machine cannot answer that: "
    "can the account do without?",
)
PASSWORD_EXPIRED = Cause(
    name="password-expired",
    sign="A request for a new password: message 60, a prompt, or words of the server.",
    summary="{server} wants a new password from user {user!r}: the password has expired.",
    advice="Get a new password from the partner, or set one with an SSH client; fill the secret.",
    to_partner="The password of user {user} on {server} has expired. Please send a new one, if possible one "
    "that does not expire.",
)
ACCOUNT_DISABLED = Cause(
    name="account-disabled",
    sign="DISCONNECT with a text about a disabled, locked or expired account.",
    summary="{server} says that the account of user {user!r} is disabled or locked.",
    advice="Ask the partner to enable the account.",
    to_partner="The account {user} on {server} is disabled or locked. Please enable it.",
)
TOO_MANY_ATTEMPTS = Cause(
    name="too-many-attempts",
    sign="DISCONNECT `Too many authentication failures` (MaxAuthTries).",
    summary="{server} closed the connection after too few tries for what the secret holds: it counts each "
    "method.",
    advice="Remove from the secret the method that the partner does not want (password or private_key), or "
    "ask for a higher MaxAuthTries.",
    to_partner="Your server {server} allows user {user} fewer login attempts in a connection than we need. "
    "Can you raise MaxAuthTries?",
)
CLOSED_DURING_LOGIN = Cause(
    name="closed-during-login",
    sign="The connection is closed over the login, without an answer.",
    summary="{server} closed the connection during the login.",
    advice="Check the secret, and whether the partner limits logins or allows only known addresses.",
    to_partner="Your server {server} closes the connection during the login of user {user}. What does its "
    "log say?",
)
CLOSED_BEFORE_LOGIN = Cause(
    name="closed-before-login",
    sign="The connection is closed before anything of the login was sent.",
    summary="{server} closed the connection before the login.",
    advice="Ask the partner whether it limits logins or allows only known addresses. It will be retried.",
    to_partner="Your server {server} closes the connection before the login. Does it limit logins, or allow "
    "only known addresses?",
)
LOST_DURING_LOGIN = Cause(
    name="lost-during-login",
    sign="The connection breaks in the middle of the login.",
    summary="{server} was lost during the login ({error}).",
    advice="It will be retried; ask the partner if it persists.",
)
NO_ANSWER_TO_LOGIN = Cause(
    name="login-unanswered",
    sign="No answer to the login in time.",
    summary="{server} did not answer the login in time.",
    advice="It will be retried; ask the partner if it persists. Servers that ask a directory service or "
    "reverse DNS may take long.",
    to_partner="Your server {server} does not answer our login. Does its directory service (LDAP, RADIUS) "
    "hang?",
)
TOO_MANY_LOGINS = Cause(
    name="too-many-sessions",
    sign="A refusal of the login, or of the session, with words about too many.",
    summary="{server} accepts no more logins now.",
    advice="Lower max_connections, or ask the partner to allow more. It will be retried.",
    to_partner="Your server {server} says that we have too many sessions. How many may we use at a time?",
)

_OFF = r"(?:disabled|locked|blocked|banned|suspended|deactivated|inactive|expired|not (?:active|enabled))"
# Of the account: methods and algorithms are disabled, too, and sessions are inactive.
_OTHER_THING = r"(?:authentication|methods?|passwords?|sessions?|algorithms?|keys?|ip|address|host)"
_DISABLED = re.compile(
    rf"\b(?:account|user|login)\b(?:(?!\b{_OTHER_THING}\b)[^.]){{0,60}}?\b{_OFF}\b"
    rf"|\b{_OFF} (?:account|user)\b",
    re.IGNORECASE,
)
_TOO_MANY_ATTEMPTS = re.compile(
    r"too many (?:authentication|failed|login) (?:failures|attempts|tries)", re.IGNORECASE
)


def cause_of_goodbye(said: bytes) -> Cause | None:
    """Return what the words of a DISCONNECT during the login mean; None: nothing in particular."""
    text = decoded(said)
    is_disabled = _DISABLED.search(text) is not None
    if handshake.says_banned(text) and not is_disabled:
        return handshake.BANNED
    if _TOO_MANY_ATTEMPTS.search(text):
        return TOO_MANY_ATTEMPTS
    return ACCOUNT_DISABLED if is_disabled else None


def cause_before_login(said: bytes) -> Cause:
    """Return what the words of a DISCONNECT mean before a key or a password was sent."""
    cause = cause_of_goodbye(said)
    if cause is TOO_MANY_ATTEMPTS:  # those of earlier connections
        return handshake.BANNED
    return cause or CLOSED_BEFORE_LOGIN
