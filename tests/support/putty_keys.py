"""Keys that puttygen 0.78 has made, for these tests alone: PuTTY files, and the public keys in them."""

from __future__ import annotations

PASSPHRASE = "pass phrase"

FILES = {
    "ed25519_v2_enc": """\
PuTTY-User-Key-File-2: ssh-ed25519
Encryption: aes256-cbc
Comment: me at  home ü
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAIGiQzA/kz46Tizb7viuzwIrip2nEJmYD0xkju0Yr
Vogz
Private-Lines: 1
Gxh7jkCeRnRjQDqtrXBhjbFyyyaEHaIesatg27Lpy9VaHZ0JGdLzP1xqGOMpdU0l
Private-MAC: b0f57329a76eb79f8d55fcaf0d3fc1431777c6ab
""",
    "ed25519_v2_plain": """\
PuTTY-User-Key-File-2: ssh-ed25519
Encryption: none
Comment: me at  home ü
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAIOIZyjoJkpuTRsMpUDtKoBR0BKTbY/Zh1AqtiSnH
aJYY
Private-Lines: 1
AAAAIDEdaZ9R3b+7bc48wYnXvnvuvUXyU7pRGaWW3NvuzQdx
Private-MAC: 03526eac26b5430a5f67234f598b5a6f702e94aa
""",
    "ed25519_v3_enc": """\
PuTTY-User-Key-File-3: ssh-ed25519
Encryption: aes256-cbc
Comment: me at  home ü
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAINe3Up64fPaZEuv2eWEoWG9fdWPqNKz1APcmwAGH
RYCi
Key-Derivation: Argon2id
Argon2-Memory: 8192
Argon2-Passes: 1
Argon2-Parallelism: 1
Argon2-Salt: b784f145b2efec5e3f881fe965a29e53
Private-Lines: 1
4/Ul+8bJm9l7uCAZVkF7BQTXwyt4My4XUSQwAsXbwPW/WXmGIWXGCWExlj4nVOcD
Private-MAC: 9f32793015b483cfd06902fd1bcfac79eba8e305388eca5fac0dac39da9d3b37
""",
    "ed25519_v3_plain": """\
PuTTY-User-Key-File-3: ssh-ed25519
Encryption: none
Comment: me at  home ü
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAILEp/7pj3b19MEgD0xJMfiHVyfbguLbIbKUAxiI9
xHtD
Private-Lines: 1
AAAAIOhTNnvi5a+nIYP0m6Uc5+Kjc+9lTvuQ0baALQj8ppwK
Private-MAC: 5c8aff630c7a2efdb4a4591f8e4fc4eb2d70798e4515b69655a2211e98f45ed9
""",
    "ecdsa_v2_plain": """\
PuTTY-User-Key-File-2: ecdsa-sha2-nistp256
Encryption: none
Comment: me at  home ü
Public-Lines: 3
AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEQ3aGU9asNt
VN2RHQQeMjoTCvCYn0bVz0zGgW6pndBDil6HJkTqYn+D+T89RZSZSNEu4DYu1Qcc
6Sow+qIOaFM=
Private-Lines: 1
AAAAIQCxPHcXUxL4HUz7FAh41G8vtGGnuAd5Usg8fJ9yVCLlIA==
Private-MAC: e53f6c5740eed5bd8660675b98068789a5fb7de5
""",
    "ecdsa_v3_enc": """\
PuTTY-User-Key-File-3: ecdsa-sha2-nistp256
Encryption: aes256-cbc
Comment: me at  home ü
Public-Lines: 3
AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGRd6bA95GmS
911ZFcoxR1hWN6r1FGCp815c9SwNdY2PXJ2oWGjVLm8lsQm9fb4R8mgRPfqXi+DY
eZpqunCudfk=
Key-Derivation: Argon2id
Argon2-Memory: 8192
Argon2-Passes: 1
Argon2-Parallelism: 1
Argon2-Salt: 516b68630ab3ad0a251066623472841c
Private-Lines: 1
UznCypJ3/t3smu7q85rAlsyRG49/nx17Ui0WPSGqtCJN9yOPH0myUFAwHe2CcoY8
Private-MAC: 7cedd17155be82c3098053979f6ed16c4be88a9a1228ea6383f5234e3fa5c1d6
""",
    "rsa_v2_plain": """\
PuTTY-User-Key-File-2: ssh-rsa
Encryption: none
Comment: me at  home ü
Public-Lines: 6
AAAAB3NzaC1yc2EAAAADAQABAAABAQCZUPJELftnVD+3bn2qAAHI45NdW1i+DaIJ
lUE8pnFW+ZC5J9X/T81Gdhet4qjGK4zSAiBnkwTXNG3qSJBDzSbEWu4ZbxySH6Hx
pBtewUkQplGxysAHdotXPfivngx6F3fpXA5R8kwwlwpoL988YAFG/Nm/HTln1Gri
g1xwdG5iytuOKcfNX9Iqyi2to4SLyJDRyXR5vz62VjV8+92s3z3wGrhbTlRT0Lqj
+sFI5rIomB325EAiw+np+kNxBTaoQpLTJHFvf5AUvCvIM/hDHPF9HI5cFHAkf4xX
tR4OvwMoRD2CqWCM5ch3X6LkYgxaHFSnefbFMzt7pJj6sSWLOF5R
Private-Lines: 14
AAABAQCVAAIzGK0Xwt0ZnBwst00Eu4dgV4JrUjyEK7X3B5tm96wbBggH1LqfG+3v
ZDS6Q2DcSIzNnCg8LgwUgOkTu7FNa0GzHjUaHfv5J5AiCp7Du5/xtiXiGudYpjWm
F2fw0BYNiRWxtlUtc9z9XGkL+BHFt7626eP8cIhgE2InOEB/aTMgebqG6RXGBuKP
wjlMHkxsVUj0+xTJ6mP2UvMo/v30DXEzrm5wWy0mR1dwYNH01985uywY58Gh3Vlo
8Ew0GiGIKEdFk6NZOed7alCIWZKYvEOLgnGbBT3V1tZTxytvkLjNY6HWrbX7FQhC
0pwJAYYGWRT3o04dphIXpUAnZmgBAAAAgQD6umb5vszjzAL7CK/d5L1nJ7hPOEQf
XlJnee+UqzlvPXVMU99vK+bAeZexEznenT3HceSQXj7YwG8H6gMLZxL+e2sVZol6
Aw4KiulC3IxC4m7QjdeTjZS1YyfiMV40TQ3g3Ye/DpEoqgzAwD5hYqaehM6WIcAp
qY/uOUt87/nPoQAAAIEAnIo0Gy1xri1F8xBUUepUO3OOzRQP7W+F9afkxvDSdWA0
Lxt7rygqKwjxrcTgDjhWix5FU5BI9anYbEPIOLW0jID4qI5LmRie3pwHT/1tQHLo
aBkaIUxfBwOlSPD0UjKLQ9hiYKTm6Nq8e3CC6i81ujg3enztUJ1xUmtiw/et0LEA
AACBAMgzyyenwDoLzRJPEURK94mgPdeiNPeAWZY3fI1OVZ/y3aPPTedxqfELHNt0
nLTopCUBRehB3PNV85z8m8/6yfDlNYEHExkh7bpzIDpEnZHAkePeElSlkC088x/R
2ok9m/Kn6YZOi2h1L6iSgG0l0YMt5kGDGMWZ2u4nvE7gjxdh
Private-MAC: 6646680dc5176519147b498bf78c2a83b67e255b
""",
    "rsa_v3_enc": """\
PuTTY-User-Key-File-3: ssh-rsa
Encryption: aes256-cbc
Comment: me at  home ü
Public-Lines: 6
AAAAB3NzaC1yc2EAAAADAQABAAABAQDlSdO9rzttbDgp2B3u8I5G6dOPYsLu2Lt0
gmf5dwy6I4n7srtgz9lMGQoOI/N+yJcMVl95S6dvtgq+/L6YMmM/DOWWO3Utm/TF
4CRHZjvnF3nftYvtSL/zcsAV7SO1Pdqkk8Y2YNbgb3GxGcfBsDy1hI0Kb3SbKaO2
WLobGh1+M8V4lHO4RU3pNIir3EALsVnG+ipAYXKexTVZ4JhFlpNgIFGjs+9KldE6
7JzimU0ofReq3gVkuLNGdr4CJDf6v9mZW2BV5Q4aK1A3YmMd1clttjosrAsgVzpl
2YgQ9y7KwYmw6xKHKBuuodetkCAXVetfTQaVvyYAV+CrcdW2pgyz
Key-Derivation: Argon2id
Argon2-Memory: 8192
Argon2-Passes: 1
Argon2-Parallelism: 1
Argon2-Salt: c36da826a9c56e8f2add45273d5b3ece
Private-Lines: 14
XIhFyzpwjFPsrLYpySRejONfzbwDS7V2d8CKg8/ZkxoD+l8maZNWcTRrP3PNJ3Z/
/iKxZe8IXActj0P0JkEiiFi6vvq3fZE4bVs5T+cBqBBItMaDkQvUqc0OTiz4xRjl
+eKXKpeobQW4eWWjsTp9LbfFcchegHLrDfCGxWOB2AiuIDhmZvJgo0a9gDLKxsAC
M1JG2/jSkAsfTeYYFTIH8E8OK/3r0gYu6NdNMWLpbmOKg831dgWxXxuHzwHhkurM
9Ow3OkMs5uHEpa2pbEjYV5LnkVP9fN7/FJcahpUrg0z1qLgWvv8GnV7TGLJ2OJjf
vyDDFg3X9oRPi1jUyAXBqNGvwzFuBVeGpKQkTjzDT9swtmMYS+DA4aTVNkcnjKIT
2w4iFm1DtUHoyMr0/CXHZ0D5zNii3ZLG/l/KvJhSC8adzJbO5SL6bLIET+B8jSLN
bddlQejflkVodDd7KCRvOg+LC6CNs1P1nYtyOkA13yDpm4J+QVVJ02CrecEZM7Et
bm2+ZJnfpqN4+FZCwZlc3jmccoi0DTHOn53j0VtY5eBe8XWhCsDtvKuDZX/holaE
O09D3b00LzLK3Uck15x59QKQ/50OfKvNat7KB2WVe0BeKb3kxYl4WwUGvYEb9kaC
oBggKPh+hTq4+9SQEPV1e34CMFfrbkPOWZm03gbDWYwtv4pWH2r90WOseemJAcgL
wWiDqttMM09FvU0ZwQRbEWHnIKkmlYB1DwG9nbBp1LMN8NzOu0Kg9TuT9nrfcvg7
KdTEet8EkI+hr/8633KYLOIWGVdyMdRkWm5PNkirHBW0S+z875Z070LxtZ79fcc3
JAy4HPnjljpNp5r8xCSQZ6TyshCFG9CF6HZYxIXLjJ7u8Jc9qSQ9JtVvqI1H2EqX
Private-MAC: f013131e767e9df01f9793b1a7192fceb905d49279a5219c42d199c3844cbae5
""",
}

PUBLIC = {
    "ed25519_v2_enc": ("AAAAC3NzaC1lZDI1NTE5AAAAIGiQzA/kz46Tizb7viuzwIrip2nEJmYD0xkju0YrVogz"),
    "ed25519_v2_plain": ("AAAAC3NzaC1lZDI1NTE5AAAAIOIZyjoJkpuTRsMpUDtKoBR0BKTbY/Zh1AqtiSnHaJYY"),
    "ed25519_v3_enc": ("AAAAC3NzaC1lZDI1NTE5AAAAINe3Up64fPaZEuv2eWEoWG9fdWPqNKz1APcmwAGHRYCi"),
    "ed25519_v3_plain": ("AAAAC3NzaC1lZDI1NTE5AAAAILEp/7pj3b19MEgD0xJMfiHVyfbguLbIbKUAxiI9xHtD"),
    "ecdsa_v2_plain": (
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEQ3aGU9asNtVN2RHQQeMjoTCvCYn0bVz0zG"
        "gW6pndBDil6HJkTqYn+D+T89RZSZSNEu4DYu1Qcc6Sow+qIOaFM="
    ),
    "ecdsa_v3_enc": (
        "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGRd6bA95GmS911ZFcoxR1hWN6r1FGCp815c"
        "9SwNdY2PXJ2oWGjVLm8lsQm9fb4R8mgRPfqXi+DYeZpqunCudfk="
    ),
    "rsa_v2_plain": (
        "AAAAB3NzaC1yc2EAAAADAQABAAABAQCZUPJELftnVD+3bn2qAAHI45NdW1i+DaIJlUE8pnFW+ZC5J9X/T81Gdhet"
        "4qjGK4zSAiBnkwTXNG3qSJBDzSbEWu4ZbxySH6HxpBtewUkQplGxysAHdotXPfivngx6F3fpXA5R8kwwlwpoL988"
        "YAFG/Nm/HTln1Grig1xwdG5iytuOKcfNX9Iqyi2to4SLyJDRyXR5vz62VjV8+92s3z3wGrhbTlRT0Lqj+sFI5rIo"
        "mB325EAiw+np+kNxBTaoQpLTJHFvf5AUvCvIM/hDHPF9HI5cFHAkf4xXtR4OvwMoRD2CqWCM5ch3X6LkYgxaHFSn"
        "efbFMzt7pJj6sSWLOF5R"
    ),
    "rsa_v3_enc": (
        "AAAAB3NzaC1yc2EAAAADAQABAAABAQDlSdO9rzttbDgp2B3u8I5G6dOPYsLu2Lt0gmf5dwy6I4n7srtgz9lMGQoO"
        "I/N+yJcMVl95S6dvtgq+/L6YMmM/DOWWO3Utm/TF4CRHZjvnF3nftYvtSL/zcsAV7SO1Pdqkk8Y2YNbgb3GxGcfB"
        "sDy1hI0Kb3SbKaO2WLobGh1+M8V4lHO4RU3pNIir3EALsVnG+ipAYXKexTVZ4JhFlpNgIFGjs+9KldE67JzimU0o"
        "fReq3gVkuLNGdr4CJDf6v9mZW2BV5Q4aK1A3YmMd1clttjosrAsgVzpl2YgQ9y7KwYmw6xKHKBuuodetkCAXVetf"
        "TQaVvyYAV+CrcdW2pgyz"
    ),
}
