"""A server that cannot be told to be the partner's."""

from s3_to_sftp.diagnosis.cause import Cause

_PIN = (
    "It offers '{line}' ({fingerprint}). Verify the fingerprint with the partner out of band; when it is "
    "right, add this key to SSH_HOST_KEY. `s3-to-sftp trust-host-key {fingerprint} --reason "
    "TEXT` trusts it until then."
)
_ASK = (
    "Your SFTP server {server} shows the host key {fingerprint}. Please confirm over another channel than "
    "this one whether that is right, and which keys your servers have."
)

PIN_IS_NO_KEY = Cause(
    name="pin-is-no-key",
    sign="SSH_HOST_KEY holds something else: a fingerprint, a part of a key, a key of another type.",
    summary="SSH_HOST_KEY must hold public keys of the form 'ssh-ed25519 AAAA...': line {number} {problem}.",
    advice="Print the server's keys with 'ssh-keyscan -p PORT HOST' and paste them. A fingerprint is for "
    "comparing them with the partner.",
)
NOT_PINNED = Cause(
    name="no-host-key-pinned",
    sign="SSH_HOST_KEY is empty.",
    summary="No host key is pinned for {server}, so it is unknown whether it is the partner.",
    advice=_PIN,
    to_partner=_ASK,
)
CHANGED = Cause(
    name="host-key-changed",
    sign="The server shows a key that is not pinned.",
    summary="{server} showed a host key that is not pinned: it was changed, or this is another server.",
    advice="Pinned: {pinned}. " + _PIN,
    to_partner=_ASK,
)
DIFFERS_PER_NODE = Cause(
    name="host-key-differs-per-node",
    sign="The key is not pinned, and another connection was shown a pinned one.",
    summary="{server} is several servers with different host keys: this one is not pinned, another one is.",
    advice="Ask the partner for the keys of all nodes and pin them all. " + _PIN,
    to_partner="Behind {server} we meet servers with different host keys; {fingerprint} is not known to us. "
    "Please send the fingerprints of all of them.",
)
CERTIFICATE = Cause(
    name="host-certificate-refused",
    sign="The server shows a certificate that does not fit.",
    summary="{server} showed a host certificate that {problem}.",
    advice="Ask the partner for a certificate of {host!r}, or pin the key. " + _PIN,
    to_partner="The host certificate of {server} {problem}. Please renew it.",
)
