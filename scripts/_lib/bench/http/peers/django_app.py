"""Django's admin with the list of contacts, under gunicorn.

It reads our tables as a role that bypasses row-level security, limited to one account by its query; Django's
own tables (users, sessions) are in a schema of their own. `python django_app.py` makes those and the
superuser; gunicorn serves `application`. The settings come from the environment.
"""

import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest
from django.urls import path

ADDRESS = urlsplit(os.environ["PEER_DATABASE_URL"])
PAGE = 50

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    AUTH_PASSWORD_VALIDATORS=[],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": ADDRESS.hostname, "PORT": ADDRESS.port, "NAME": ADDRESS.path.strip("/"),
            "USER": ADDRESS.username, "PASSWORD": ADDRESS.password,
            "CONN_MAX_AGE": None,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
        "django.contrib.messages", "django.contrib.sessions", "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of-one-run-of-the-benchmark",  # noqa: S106 -- of one run
    STATIC_URL="static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    USE_TZ=True,
)  # fmt: skip
django.setup()

from django.contrib import admin  # noqa: E402 -- models need the settings
from django.db import models  # noqa: E402 -- the same


class Person(models.Model):
    """A member of the account."""

    id = models.UUIDField(primary_key=True)
    name = models.TextField()

    class Meta:
        app_label = "auth"
        db_table = "users"
        managed = False

    def __str__(self) -> str:
        return self.name


class Tag(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.TextField()

    class Meta:
        app_label = "auth"
        db_table = "tags"
        managed = False

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    CONSENTS = (("unknown", "Unknown"), ("granted", "Granted"), ("denied", "Denied"))

    id = models.UUIDField(primary_key=True)
    account_id = models.UUIDField()
    first_name = models.TextField(null=True)
    last_name = models.TextField(null=True)
    email = models.TextField(null=True)
    phone = models.TextField(null=True)
    company = models.TextField(null=True)
    city = models.TextField(null=True)
    state = models.TextField(null=True)
    owner = models.ForeignKey(Person, models.DO_NOTHING, null=True, db_constraint=False)
    email_consent = models.TextField(choices=CONSENTS)
    tags = models.ManyToManyField(Tag, through="ContactTag")
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "auth"
        db_table = "contacts"
        managed = False

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class ContactTag(models.Model):
    pk = models.CompositePrimaryKey("contact_id", "tag_id")
    contact = models.ForeignKey(Contact, models.DO_NOTHING, db_constraint=False)
    tag = models.ForeignKey(Tag, models.DO_NOTHING, db_constraint=False)

    class Meta:
        app_label = "auth"
        db_table = "contact_tags"
        managed = False


@admin.register(Contact)
class ContactAdmin(admin.ModelAdmin):
    """The list with the columns of ours."""

    list_display = ("__str__", "email", "company", "phone", "city", "state", "tag_names", "updated_at")
    list_filter = ("email_consent", "state", "owner")
    list_per_page = PAGE
    ordering = ("-created_at", "-id")
    search_fields = ("first_name", "last_name", "email", "company", "phone")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        """The live contacts of one account."""
        account = os.environ["PEER_ACCOUNT"]
        return (
            super()
            .get_queryset(request)
            .filter(account_id=account, deleted_at__isnull=True)
            .prefetch_related("tags")
        )

    @admin.display(description="Tags")
    def tag_names(self, contact: Contact) -> str:
        return ", ".join(tag.name for tag in contact.tags.all())


urlpatterns = [path("admin/", admin.site.urls)]
application = get_wsgi_application()


def main() -> None:
    """Create Django's own tables and a superuser; name and password are the arguments."""
    from django.contrib.auth.models import User

    name, password = sys.argv[1:]
    call_command("migrate", verbosity=0)
    User.objects.create_superuser(name, password=password)


if __name__ == "__main__":
    main()
