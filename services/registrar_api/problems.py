"""Errors of the core to problem documents (RFC 9457): the one place where they become HTTP."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from registrar_api.schemas import ProblemOut
from sipreg.errors import RequestRefused, StoreUnavailable

STORE_RETRY_AFTER_S = 5

_MEDIA_TYPE = "application/problem+json"


def _problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = ProblemOut(title=title, status=status, detail=detail).model_dump()
    return JSONResponse(body, status_code=status, headers=headers, media_type=_MEDIA_TYPE)


def problem_responses(descriptions: dict[int | str, str]) -> dict[int | str, dict[str, Any]]:
    """Return how OpenAPI shows the problem documents of a route.

    Args:
        descriptions: by status, when it is answered.
    """
    schema = ProblemOut.model_json_schema()
    return {status: {"description": text, "content": {_MEDIA_TYPE: {"schema": schema}}} for status, text in descriptions.items()}


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem document."""

    async def refused(request: Request, error: Exception) -> JSONResponse:
        del request
        status = error.status if isinstance(error, RequestRefused) else 500
        return _problem(status, "Request refused", str(error))

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        del request
        return _problem(503, "Location store unavailable", str(error), {"Retry-After": str(STORE_RETRY_AFTER_S)})

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        del request
        if not isinstance(error, StarletteHTTPException):
            return _problem(500, "Internal error", "")
        return _problem(error.status_code, str(error.detail), str(error.detail), dict(error.headers or {}))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        del request
        detail = (
            "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors()) if isinstance(error, RequestValidationError) else ""
        )
        return _problem(422, "Invalid parameters", detail)

    async def failed(request: Request, error: Exception) -> JSONResponse:
        # Who runs us reads of it in the log; a caller need not know what it was.
        del request, error
        return _problem(500, "Internal error", "The request failed for a fault of the server")

    app.add_exception_handler(RequestRefused, refused)
    app.add_exception_handler(StoreUnavailable, unavailable)
    app.add_exception_handler(StarletteHTTPException, http_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, failed)
