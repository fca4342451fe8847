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
# In the languages of `_PASSWORD`. A word that is left out gets a password typed into the wrong question.
_NEW = re.compile(
    r"\b(?:new|next|retype|re-type|re-?enter|repeat|confirm\w*|again|change|choose|create|set|pick|"
    r"neue?[rs]?|wiederhol\w*|bestätig\w*|nouve\w+|nueva|nuevo|nova senha|novo|nuova|nuovo|"
    r"ripet\w+|repit\w+|repet\w+|nieuwe?|herhaal|bevestig\w*|nytt|nya|nyt|ny adgangskode|upprepa|"
    r"gjenta|gentag|bekr\w+|uusi|toista|vahvista|now[ey]|powt[oó]rz|potwierd\w+|nov[éý]|znovu|"
    r"zopakujte|potvr\w+|új|ismét|erősíts\w*)\b|нов(?:ый|ого)|повтор|подтверд|"  # noqa: RUF001
    r"新|再|确认|確認|새\s|다시|확인",
    re.IGNORECASE,
)
_OLD = re.compile(r"\b(?:current|old|existing|previous|aktuelles|altes|actuel|actual)\b", re.IGNORECASE)
_CODE = re.compile(
    r"one[- ]?time|otp\b|otp[- ]?pass|\bs/?key\b|c[oó]d(?:e|es|igo|ice)\b|\bk[oó]d\w?\b|\bkoodi|passcode|"
    r"token|verification|\bpin\b|\btan\b|\b[2m]fa\b|factor|authenticator|securid|\brsa\b|\bfob\b|"
    r"\bsms\b|yubikey|\bduo\b|challenge|response|dynamic|temporary|\bsecond\b|\benable\b|\bsudo\b|"
    r"passphrase|displayed|sent to|google auth|einmal|usage unique|un solo uso|uso [úu]nico|monouso|"
    r"eenmalig|eng[åa]ngs|kertak[äa]ytt|jednor[aá]z|egyszeri|одноразов|ワンタイム|一次性|动态|動態|"
    r"일회용|验证|驗證|인증",
    re.IGNORECASE,
)
# What has happened to this password. Banners also tell rules: "You must change it every 90 days."
_LOGIN = (
    r"(?:pass\s?words?|passwd|passworts?|kennwort|mot de passe|contrase[nñ]a|credentials|account|konto"
    r"|compte)"
)
_EXPIRED = re.compile(
    rf"\b{_LOGIN}\b.{{0,60}}?(?<!not )(?<!not yet )(?:\bexpired\b|\babgelaufen|\bexpiré)"
    rf"|\bexpired {_LOGIN}\b|\b{_LOGIN} change (?:is )?required",
    re.IGNORECASE,
)
_MUST_CHANGE = re.compile(r"\b(?:must|required to|needs? to|ha(?:ve|s) to) (?:be )?change", re.IGNORECASE)
_NOW = re.compile(r"\b(?:now|immediately|at once|right away)\b", re.IGNORECASE)
_ABOUT_LOGIN = re.compile(rf"\b{_LOGIN}\b", re.IGNORECASE)
_RULE = re.compile(
    r"\b(?:if|when|whenever|unless|until|every|each|regularly|periodically|(?<!at )once)\b", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?;]\s|[\r\n]")
_RULE_IN_BRACKETS = re.compile(r"\([^()]*\b(?:every|each|regularly|periodically)\b[^()]*\)", re.IGNORECASE)
_WANTS_NEW = re.compile(r"(?:choose|enter|set|pick|create|type) (?:a |your )?new ", re.IGNORECASE)


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
    texts = [_RULE_IN_BRACKETS.sub(" ", _without(names, prompt)) for prompt in prompts]
    said = _without(names, said)
    passwords = [text for text in texts if _PASSWORD.search(text)]
    if any(_NEW.search(text) for text in passwords):
        return Asked.NEW_PASSWORD
    if any(_CODE.search(text) for text in texts):
        return Asked.CODE
    if len(passwords) < len(texts) or len(texts) > 1:
        return Asked.OTHER
    if says_expired(said) or (_OLD.search(texts[0]) and answered) or _WANTS_NEW.search(said):
        return Asked.NEW_PASSWORD
    if _CODE.search(said):
        return Asked.CODE
    return Asked.OTHER if answered else Asked.PASSWORD


def says_expired(text: str) -> bool:
    """Return whether a text says that a password has expired, or must be changed now."""
    facts = [sentence for sentence in _SENTENCE_END.split(text) if not _RULE.search(sentence)]
    if any(map(_EXPIRED.search, facts)):
        return True
    return _ABOUT_LOGIN.search(text) is not None and any(
        _MUST_CHANGE.search(fact) and _NOW.search(fact) for fact in facts
    )


def _without(names: Sequence[str], prompt: str) -> str:
    prompt = re.sub(r"\S+@\S+", " ", prompt)
    for name in filter(None, names):
        prompt = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", prompt, flags=re.IGNORECASE)
    return prompt
