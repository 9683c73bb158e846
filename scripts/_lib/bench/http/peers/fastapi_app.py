"""The stack of the document: FastAPI, SQLAlchemy's ORM on asyncpg, Pydantic, PyJWT (RS256), uvicorn.

It reads and writes our tables as a role that bypasses row-level security, with the account as a condition of
each query, as applications of this stack do. `main` serves it; the settings come from the environment.
"""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

import jwt
import uvicorn
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import DateTime, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PAGE = 50
engine = create_async_engine(os.environ["PEER_DATABASE_URL"], pool_size=10, max_overflow=5)
public_key = load_pem_public_key(os.environ["PEER_PUBLIC_KEY"].encode())
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True), dict: JSONB}  # noqa: RUF012 -- SQLAlchemy reads it


class Contact(Base):
    __tablename__ = "contacts"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    first_name: Mapped[str | None]
    last_name: Mapped[str | None]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    company: Mapped[str | None]
    city: Mapped[str | None]
    state: Mapped[str | None]
    owner_id: Mapped[UUID | None]
    email_consent: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class AuditEntry(Base):
    __tablename__ = "audit_logs"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    occurred_at: Mapped[datetime]
    actor_kind: Mapped[str]
    actor_id: Mapped[str]
    actor_name: Mapped[str]
    action: Mapped[str]
    subject_kind: Mapped[str]
    subject_id: Mapped[str]
    changes: Mapped[dict]


class Event(Base):
    __tablename__ = "events"

    account_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject_id: Mapped[UUID]
    source: Mapped[str]
    root_event_id: Mapped[UUID]
    occurred_at: Mapped[datetime]


class ContactIn(BaseModel):
    first_name: str | None = None
    last_name: str | None = None
    email: str | None = None
    phone: str | None = None
    company: str | None = None
    city: str | None = None
    state: str | None = None


class ContactOut(ContactIn):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    owner_id: UUID | None
    email_consent: str
    created_at: datetime
    updated_at: datetime


class Caller(BaseModel):
    """The claims of the token."""

    sub: UUID
    account_id: UUID
    name: str


def read_token(credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]) -> Caller:
    """The caller. The signature is verified on each request."""
    try:
        claims = jwt.decode(credentials.credentials, public_key, algorithms=["RS256"])
    except jwt.PyJWTError as error:
        raise HTTPException(401, "Sign in first.") from error
    return Caller.model_validate(claims)


async def open_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


CallerOf = Annotated[Caller, Depends(read_token)]
SessionOf = Annotated[AsyncSession, Depends(open_session)]


@app.get("/contacts", response_model=list[ContactOut])
async def list_contacts(caller: CallerOf, session: SessionOf, limit: int = PAGE) -> list[Contact]:
    """The newest contacts."""
    newest = (
        select(Contact)
        .where(Contact.account_id == caller.account_id, Contact.deleted_at.is_(None))
        .order_by(Contact.created_at.desc(), Contact.id.desc())
        .limit(limit)
    )
    return list(await session.scalars(newest))


@app.get("/contacts/{contact_id}", response_model=ContactOut)
async def read_contact(contact_id: UUID, caller: CallerOf, session: SessionOf) -> Contact:
    """One contact."""
    contact = await session.get(Contact, (caller.account_id, contact_id))
    if contact is None or contact.deleted_at is not None:
        raise HTTPException(404, "There is no such contact.")
    return contact


@app.post("/contacts", status_code=201, response_model=ContactOut)
async def create_contact(data: ContactIn, caller: CallerOf, session: SessionOf) -> Contact:
    """A new contact, with its audit entry and its event."""
    now = datetime.now(UTC)
    values = data.model_dump(exclude_unset=True)
    contact = Contact(
        account_id=caller.account_id,
        id=uuid4(),
        email_consent="unknown",
        created_at=now,
        updated_at=now,
        **values,
    )
    event_id = uuid4()
    session.add_all(
        [
            contact,
            AuditEntry(
                account_id=caller.account_id, id=uuid4(), occurred_at=now, actor_kind="member",
                actor_id=str(caller.sub), actor_name=caller.name, action="contact.created",
                subject_kind="contact", subject_id=str(contact.id),
                changes={key: [None, value] for key, value in values.items()},
            ),
            Event(
                account_id=caller.account_id, id=event_id, kind="contact.created", subject_id=contact.id,
                source="user", root_event_id=event_id, occurred_at=now,
            ),
        ]
    )  # fmt: skip
    await session.commit()
    return contact


def main() -> None:
    """Serve on the port in PEER_PORT, with the event loop and the parser that our web server has."""
    port = int(os.environ["PEER_PORT"])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
