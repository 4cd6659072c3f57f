"""The page's addresses. Every request needs the token, and the name of this machine as its host.

The host is checked because a page from elsewhere can make its own name lead to 127.0.0.1 (DNS rebinding).
"""

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from kmpl.errors import UserError
from kmpl.review import views
from kmpl.review.decisions import ClusterMarked, ClusterNamed, ImagesNamed
from kmpl.review.session import Review
from kmpl.review.thumbnails import Picture, Thumbnails
from kmpl.runtime.servers import HOST

_STATIC = Path(__file__).parent / "static"
_FILES = {path.name: path for path in _STATIC.iterdir() if path.suffix in (".css", ".js")}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_KEEP = "private, max-age=86400"  # the token in the address changes with each start


def create_app(review: Review, thumbnails: Thumbnails, *, token: str, port: int) -> FastAPI:
    """Return the application.

    Args:
        review: what the page shows and changes.
        thumbnails: its pictures.
        token: the first part of each path.
        port: of this machine.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        first = request.url.path.split("/")[1]
        if request.headers.get("host") not in hosts:
            response: Response = PlainTextResponse("this page is for this machine only", 403)
        elif not secrets.compare_digest(first.encode(), token.encode()):
            response = PlainTextResponse("the address lacks its token: open the one that kmpl review printed", 403)
        else:
            response = await call_next(request)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response

    @app.exception_handler(UserError)
    def refused(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 409)

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 422)

    app.include_router(_page(), prefix=f"/{token}")
    app.include_router(_reading(review, thumbnails), prefix=f"/{token}")
    app.include_router(_deciding(review), prefix=f"/{token}")
    return app


def _page() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    def page() -> FileResponse:
        return FileResponse(_STATIC / "review.html", headers={"Cache-Control": "no-store"})

    @router.get("/static/{name}")
    def static(name: str) -> FileResponse:
        if name not in _FILES:
            raise HTTPException(404)
        return FileResponse(_FILES[name], headers={"Cache-Control": "no-store"})

    return router


def _reading(review: Review, thumbnails: Thumbnails) -> APIRouter:
    router = APIRouter()

    @router.get("/state")
    def state() -> dict[str, Any]:
        return views.summary(review)

    @router.get("/version")
    def version() -> dict[str, Any]:
        review.refresh()
        return {"version": review.version, "busy": review.busy}

    @router.get("/cluster/{number}")
    def cluster(number: int) -> dict[str, Any]:
        return views.cluster_members(review, number)

    @router.get("/images")
    def images(by: views.Order) -> dict[str, Any]:
        return views.images_in_order(review, by)

    @router.get("/thumbnail/{i}")
    def thumbnail(i: int) -> Response:
        return _image(review, i, thumbnails.small)

    @router.get("/picture/{i}")
    def picture(i: int) -> Response:
        return _image(review, i, thumbnails.large)

    return router


def _image(review: Review, i: int, read: Callable[[int], Picture]) -> Response:
    if not 0 <= i < len(review.images.files):
        raise HTTPException(404)
    picture = read(i)
    return Response(
        picture.content,
        media_type=picture.media_type,
        headers={"Cache-Control": "no-store" if picture.is_missing else _KEEP},
    )


def _deciding(review: Review) -> APIRouter:
    router = APIRouter()

    @router.post("/decide")
    def decide(
        decision: Annotated[ClusterNamed | ClusterMarked | ImagesNamed, Body(discriminator="kind")],
    ) -> dict[str, Any]:
        review.decide(decision)
        return views.summary(review)

    @router.post("/split/{number}")
    def split(number: int) -> dict[str, Any]:
        review.split(number)
        return views.summary(review)

    @router.post("/undo")
    def undo() -> dict[str, Any]:
        return {"cluster": getattr(review.undo(), "cluster", None)} | views.summary(review)

    @router.post("/round")
    def start_round() -> dict[str, Any]:
        review.start_round()
        return views.summary(review)

    @router.post("/write")
    def write(under_another_name: bool = False) -> dict[str, Any]:
        line = review.write(under_another_name=under_another_name)
        return views.summary(review) | {"written": line}

    return router
