"""When each catalog of an account last changed."""

from sqlalchemy import BigInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, Tenant, of_account

_START = text("(extract(epoch from clock_timestamp()) * 1000000)::bigint")


class CatalogVersion(Tenant, Base):
    """One version for each family of catalogs. Triggers on the tables of a family raise it, in the
    transaction that changes the catalog; the program only reads it, with the first statement of a
    transaction."""

    __tablename__ = "catalog_versions"
    __table_args__ = (of_account(),)

    account: Mapped[int] = mapped_column(BigInteger, server_default=_START)
    fields: Mapped[int] = mapped_column(BigInteger, server_default=_START)
    tags: Mapped[int] = mapped_column(BigInteger, server_default=_START)
    members: Mapped[int] = mapped_column(BigInteger, server_default=_START)
    segments: Mapped[int] = mapped_column(BigInteger, server_default=_START)
    workflows: Mapped[int] = mapped_column(BigInteger, server_default=_START)
