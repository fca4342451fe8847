"""What a wrong argument says."""


class InvalidArgument(ValueError):
    """An argument cannot be right. The message is a sentence that begins with its name.

    Attributes:
        argument: Its name, so that the stock app can name the context key behind it.
        complaint: The rest of the sentence.
    """

    def __init__(self, argument: str, complaint: str) -> None:
        super().__init__(f"{argument} {complaint}")
        self.argument = argument
        self.complaint = complaint
