"""What a server asks for in keyboard-interactive authentication (RFC 4256): only a password gets an answer.

A prompt is free text. A new password is never invented, a code is not known, and the password is not typed
into anything that is not recognisably a question for it: servers log user names, and count wrong codes.
"""

import re
from collections.abc import Sequence
from enum import Enum

_PASSWORD = re.compile(
    r"pass\s?word|\bpasswd\b|\bpwd\b|passwort|kennwort|mot de passe|contrase[nñ]a|senha|parola?\b|wachtwoord|"
    r"l[oö]senord|adgangskode|salasana|has[lł]o|heslo|jelsz[oó]|пароль|密码|密碼|パスワード|암호|비밀번호",
    re.IGNORECASE,
)
_NEW = re.compile(
    r"\b(?:new|retype|re-type|re-?enter|repeat|confirm|again|change|neues|wiederholen|nouveau|nueva)\b",
    re.IGNORECASE,
)
_OLD = re.compile(r"\b(?:current|old|existing|previous|aktuelles|altes|actuel|actual)\b", re.IGNORECASE)
_CODE = re.compile(
    r"one[- ]?time|\botp\b|\bcode\b|passcode|token|verification|\bpin\b|\b[2m]fa\b|factor|authenticator|"
    r"securid|\bsms\b|yubikey|\bduo\b|challenge|response|einmal",
    re.IGNORECASE,
)
_EXPIRED = re.compile(
    r"(?:has|is|have) (?:been )?expired|password expired|expired password|password aging"
    r"|(?:must|required to|need to|have to) (?:be )?change|change (?:your|the) password|abgelaufen|expiré",
    re.IGNORECASE,
)


class Asked(Enum):
    """What a round of prompts asks for."""

    NOTHING = "nothing"
    PASSWORD = "password"  # noqa: S105 - a kind of question
    NEW_PASSWORD = "new password"  # noqa: S105 - a kind of question
    CODE = "code"
    OTHER = "other"


def asked_for(
    prompts: Sequence[str], *, said: str = "", answered: bool = False, names: Sequence[str] = ()
) -> Asked:
    """Return what a round asks for.

    Args:
        prompts: Of this round.
        said: Name and instruction of this round, and of the rounds before it.
        answered: Whether the password was given in an earlier round of this exchange.
        names: Of the user and the server: their words mean nothing in a prompt.
    """
    if not prompts:
        return Asked.NOTHING
    texts = [_without(names, prompt) for prompt in prompts]
    passwords = [text for text in texts if _PASSWORD.search(text)]
    if any(_NEW.search(text) for text in passwords):
        return Asked.NEW_PASSWORD
    if any(_CODE.search(text) for text in texts):
        return Asked.CODE
    if len(passwords) < len(texts) or len(texts) > 1:
        return Asked.OTHER
    if _OLD.search(texts[0]) and (answered or says_expired(said)):
        return Asked.NEW_PASSWORD
    return Asked.OTHER if answered else Asked.PASSWORD


def says_expired(text: str) -> bool:
    """Return whether a text says that a password has expired."""
    return _EXPIRED.search(text) is not None


def _without(names: Sequence[str], prompt: str) -> str:
    for name in filter(None, names):
        prompt = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", prompt, flags=re.IGNORECASE)
    return prompt
