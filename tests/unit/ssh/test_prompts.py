"""What a prompt asks for."""

from __future__ import annotations

import pytest

from s3_to_sftp.ssh.prompts import Asked, asked_for


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Password:", Asked.PASSWORD),
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
def test_only_a_question_for_the_current_password_is_one(prompt: str, asked: Asked) -> None:
    assert asked_for([prompt]) is asked


def test_round_without_prompts_asks_for_nothing() -> None:
    assert asked_for([], said="Your password has expired.") is Asked.NOTHING


@pytest.mark.parametrize("user", ["new", "sms", "confirm", "otp"])
def test_name_of_the_user_says_nothing(user: str) -> None:
    assert asked_for([f"({user}@sftp.partner.example) Password:"], names=[user]) is Asked.PASSWORD


def test_old_password_after_the_password_belongs_to_a_change() -> None:
    assert asked_for(["(current) UNIX password:"], answered=True) is Asked.NEW_PASSWORD
    assert asked_for(["(current) UNIX password:"], said="password expired") is Asked.NEW_PASSWORD
    assert asked_for(["(current) UNIX password:"]) is Asked.PASSWORD


def test_second_question_for_the_password_gets_no_second_answer() -> None:
    assert asked_for(["Password:"], answered=True) is Asked.OTHER
    assert asked_for(["Password:", "Password:"]) is Asked.OTHER


NEW = [
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
ONE_TIME = [
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


@pytest.mark.parametrize("prompt", NEW)
def test_no_language_gets_the_password_typed_into_a_new_one(prompt: str) -> None:
    assert asked_for([prompt]) is Asked.NEW_PASSWORD


@pytest.mark.parametrize("prompt", ONE_TIME)
def test_no_language_gets_the_password_typed_in_place_of_a_code(prompt: str) -> None:
    assert asked_for([prompt]) is Asked.CODE


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Your password has expired. Choose a new one.", Asked.NEW_PASSWORD),
        ("Please choose a new password", Asked.NEW_PASSWORD),
        ("Enter the one-time password from your app", Asked.CODE),
        ("Authorised partners of the bank only", Asked.PASSWORD),
    ],
)
def test_instruction_says_what_a_plain_prompt_is_for(said: str, asked: Asked) -> None:
    assert asked_for(["Password:"], said=said) is asked
