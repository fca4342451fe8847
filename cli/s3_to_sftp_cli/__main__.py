"""`s3-to-sftp`, and `python -m s3_to_sftp_cli`."""

import signal


def main() -> None:
    """Run the command. What it needs is loaded for most of a second: Ctrl-C then is one like any other."""
    pressed = []
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    from s3_to_sftp_cli.main import main as run

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, before)
    run(interrupted=bool(pressed))


if __name__ == "__main__":
    main()
