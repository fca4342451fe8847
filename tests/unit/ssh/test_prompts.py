"""Keyboard-interactive prompts are classified by what they ask for."""

from __future__ import annotations

import pytest

from s3_to_sftp.ssh.prompts import Asked, asked_for, says_expired


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Password:", Asked.PASSWORD),
        ("Password (you must change it every 90 days): ", Asked.PASSWORD),
        ("Current password:", Asked.PASSWORD),
        ("Mot de passe :", Asked.PASSWORD),
        ("Пароль:", Asked.PASSWORD),
        ("New password:", Asked.NEW_PASSWORD),
        ("Change password? ", Asked.NEW_PASSWORD),
        ("Dynamic password token:", Asked.CODE),
        ("Please enter the code sent by SMS:", Asked.CODE),
        ("Username:", Asked.OTHER),
        ("Account", Asked.OTHER),
    ],
)
def test_prompt_is_classified_by_what_it_asks_for(prompt: str, asked: Asked) -> None:
    assert asked_for([prompt]) is asked


def test_round_without_prompts_asks_for_nothing() -> None:
    assert asked_for([], said="Your password has expired.") is Asked.NOTHING


@pytest.mark.parametrize("user", ["new", "sms", "confirm", "otp"])
def test_username_in_a_prompt_is_ignored(user: str) -> None:
    assert asked_for([f"({user}@sftp.partner.example) Password:"], names=[user]) is Asked.PASSWORD


def test_current_password_prompt_after_login_belongs_to_a_password_change() -> None:
    assert asked_for(["(current) UNIX password:"], answered=True) is Asked.NEW_PASSWORD
    assert asked_for(["(current) UNIX password:"], said="password expired") is Asked.NEW_PASSWORD
    assert asked_for(["(current) UNIX password:"]) is Asked.PASSWORD


def test_second_password_prompt_is_not_a_password_prompt() -> None:
    assert asked_for(["Password:"], answered=True) is Asked.OTHER
    assert asked_for(["Password:", "Password:"]) is Asked.OTHER


NEW_PASSWORD_PROMPTS = [
    "Новый пароль:",
    "新しいパスワード:",
    "新密码:",
    "새 비밀번호:",
    "Nieuw wachtwoord:",
    "Nytt lösenord:",
    "Nové heslo:",
    "Nowe hasło:",
    "Uusi salasana:",
    "Új jelszó:",
    "Nova senha:",
    "Nuova password:",
    "Neues Kennwort:",
    "Nouveau mot de passe :",
    "Nueva contraseña:",
    "Ny adgangskode:",
    "Confirmez le mot de passe :",
    "Wiederholen Sie das Passwort:",
    "Choose a password:",
]
ONE_TIME_CODE_PROMPTS = [
    "Mot de passe à usage unique :",
    "Contraseña de un solo uso:",
    "Одноразовый пароль:",
    "ワンタイムパスワード:",
    "一次性密码:",
    "일회용 비밀번호:",
    "Eenmalig wachtwoord:",
    "Engångslösenord:",
    "Jednorazowe hasło:",
    "TOTP password:",
    "TAN-Passwort:",
    "s/key 97 ke1234 Password:",
    "Enter PASSWORD displayed in your app:",
    "Password from your RSA key fob:",
]


@pytest.mark.parametrize("prompt", NEW_PASSWORD_PROMPTS)
def test_new_password_prompt_is_recognised_in_every_language(prompt: str) -> None:
    assert asked_for([prompt]) is Asked.NEW_PASSWORD


@pytest.mark.parametrize("prompt", ONE_TIME_CODE_PROMPTS)
def test_one_time_code_prompt_is_recognised_in_every_language(prompt: str) -> None:
    assert asked_for([prompt]) is Asked.CODE


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Your password has expired. Choose a new one.", Asked.NEW_PASSWORD),
        ("Please choose a new password", Asked.NEW_PASSWORD),
        ("You must change your password immediately.", Asked.NEW_PASSWORD),
        ("You must change your password every 90 days.", Asked.PASSWORD),
        ("Your license has expired.", Asked.PASSWORD),
        ("Enter the one-time password from your app", Asked.CODE),
        ("Authorised partners of the bank only", Asked.PASSWORD),
    ],
)
def test_instruction_decides_what_a_plain_prompt_asks_for(said: str, asked: Asked) -> None:
    assert asked_for(["Password:"], said=said) is asked


@pytest.mark.parametrize(
    "text",
    [
        "Your password has expired. Choose a new one.",
        "Password expired",
        "Your account has expired; please contact your system administrator",
        "You are required to change your password immediately (administrator enforced).",
        "WARNING: Your password has expired.\nYou must change your password now and login again!",
        "Password change required but no TTY available.",
        "Your password was set long ago. It must be changed now.",
        "Ihr Passwort ist abgelaufen.",
        "Votre mot de passe a expiré.",
    ],
)
def test_expired_password_is_told_from_the_words(text: str) -> None:
    assert says_expired(text)


@pytest.mark.parametrize(
    "text",
    [
        "Notice: You must change your password every 90 days.",
        "Users are required to change passwords every 90 days",
        "If your password has expired, call the help desk.",
        "Your password has not expired",
        "Your password will expire in 3 days",
        "WS_FTP: your license has expired",
        "The certificate of this site has expired",
        "You must change to SFTP v4 or higher now",
    ],
)
def test_rule_about_passwords_is_not_an_expired_password(text: str) -> None:
    assert not says_expired(text)
