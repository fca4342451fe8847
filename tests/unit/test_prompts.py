"""What a prompt asks for."""

from __future__ import annotations

import pytest

from s3_to_sftp.sftp.prompts import Asked, asked_for


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
