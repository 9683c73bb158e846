"""Routes of imports: the list, the upload, and one page that shows an import at each stage."""

from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, MultipartBody

from app.errors import Invalid
from app.imports.domain.csv_reader import MOST_ROWS
from app.imports.domain.sample_file import as_csv, sample_csv
from app.imports.pages import bad_rows, list_page, page_of
from app.imports.schemas import ImportList, ImportPage, MappingForm, UploadPage
from app.imports.use_cases import cancel_import, load_import, start_check, start_run, upload
from app.permissions import Permission
from app.web.actions import action, actions
from app.web.body_limits import BodyLimits
from app.web.guards import may
from app.web.paging import Paging
from app.web.request import Request
from app.web.request_kinds import BULK
from app.web.responses import Saved
from app.work import Work

IMPORT = Permission.IMPORT_CONTACTS
CSV = "text/csv; charset=utf-8"


class UploadForm(msgspec.Struct, forbid_unknown_fields=True):
    """A file as multipart; `account` is the hidden field of the page's form."""

    file: UploadFile | None = None
    account: str = ""


class ImportController(Controller):
    path = "/imports"
    tags = ("imports",)

    @get(page="imports/index.html", guards=[may(Permission.VIEW)])
    async def index(
        self,
        work: NamedDependency[Work],
        paging: NamedDependency[Paging],
    ) -> ImportList:
        """Imports of the account, newest first."""
        return await list_page(work, paging)

    @get("/new", page="imports/new.html", guards=[may(IMPORT)])
    async def new(self, request: Request, work: NamedDependency[Work]) -> UploadPage:
        """The form to upload a file, and the accepted formats."""
        most = request.app.state.settings.max_body_bytes
        upload_action = action(work, "upload", "Upload", "/imports", permission=IMPORT, form=UploadForm)
        return UploadPage(most, MOST_ROWS, actions(upload_action))

    @get(
        "/sample.csv",
        guards=[may(Permission.VIEW)],
        produces="*/*",
        media_type="text/csv",
        sync_to_thread=False,
    )
    def sample_file(self) -> Response[str]:
        """A small file to try the import with."""
        return Response(sample_csv(), media_type=CSV, headers=_attachment("sample-contacts.csv"))

    @post(form="/imports/new", guards=[may(IMPORT)], limits=BodyLimits(files=True), kind=BULK)
    async def create(self, data: MultipartBody[UploadForm], work: NamedDependency[Work]) -> Saved[ImportPage]:
        """Stores a file of contacts (multipart, part `file`): CSV in any encoding, delimiter and line end."""
        if data.file is None or not data.file.filename:
            raise Invalid({"file": "Choose a file."})
        import_id = await upload(work, data.file.filename, await data.file.read())
        return Saved(await _page(work, import_id), see=f"/imports/{import_id}")

    @get(
        "/{import_id:uuid}",
        page="imports/show.html",
        fragment="imports/_import.html",
        guards=[may(Permission.VIEW)],
    )
    async def show(
        self,
        import_id: FromPath[UUID],
        request: Request,
        work: NamedDependency[Work],
        columns: FromQuery[bool] = False,
    ) -> ImportPage:
        """One import at its stage: columns, check, preview, run or result. `columns` shows the column mapping
        again after the check."""
        refused = request.scope["state"].get("form") is not None
        return await _page(work, import_id, columns=columns or refused)

    @post("/{import_id:uuid}/mapping", form="/imports/{import_id}", guards=[may(IMPORT)], status_code=200)
    async def map_columns(
        self, import_id: FromPath[UUID], data: JSONBody[MappingForm], work: NamedDependency[Work]
    ) -> Saved[ImportPage]:
        """Maps the columns and starts the check, as a job."""
        await start_check(work, import_id, data)
        return Saved(await _page(work, import_id), see=f"/imports/{import_id}", created=False)

    @post("/{import_id:uuid}/run", form="/imports/{import_id}", guards=[may(IMPORT)], status_code=200)
    async def run(self, import_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[ImportPage]:
        """Starts writing contacts, as a job; a stopped run continues."""
        await start_run(work, import_id)
        return Saved(await _page(work, import_id), see=f"/imports/{import_id}", created=False)

    @post(
        "/{import_id:uuid}/cancellation", form="/imports/{import_id}", guards=[may(IMPORT)], status_code=200
    )
    async def stop(self, import_id: FromPath[UUID], work: NamedDependency[Work]) -> Saved[ImportPage]:
        """Stops an import; contacts that were written stay."""
        await cancel_import(work, import_id)
        page = await _page(work, import_id)
        note = "The import was canceled."
        return Saved(page, see=f"/imports/{import_id}", created=False, note=note)

    @get(
        "/{import_id:uuid}/bad.csv",
        guards=[may(Permission.VIEW)],
        produces="*/*",
        media_type="text/csv",
        kind=BULK,
    )
    async def bad(self, import_id: FromPath[UUID], work: NamedDependency[Work]) -> Response[str]:
        """The rejected lines as they are in the file, with their line number and the reason in front."""
        import_ = await load_import(work, import_id)
        table = await bad_rows(work, import_)
        return Response("\ufeff" + as_csv(table), media_type=CSV, headers=_attachment("bad-rows.csv"))


async def _page(work: Work, import_id: UUID, *, columns: bool = False) -> ImportPage:
    return await page_of(work, await load_import(work, import_id), columns=columns)


def _attachment(filename: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{filename}"'}
