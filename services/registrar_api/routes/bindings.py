"""Bindings of an address of record: see them, remove one or all."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from registrar_api.dependencies import ServiceDependency, authorized
from registrar_api.problems import problem_responses
from registrar_api.schemas import AorOut, BindingOut, RemovedOut

router = APIRouter(
    prefix="/v1/aors/{aor:path}/bindings",  # a user part may hold a slash
    tags=["bindings"],
    dependencies=[Depends(authorized)],
    responses=problem_responses(
        {
            400: "That is no address of record.",
            401: "A bearer token is needed.",
            422: "A parameter is too long, or not what it should be.",
            503: "The location store could not be asked: nothing is known.",
        }
    ),
)

AorPath = Annotated[str, Path(max_length=2048, description="The address of record, as `user@host` or as a SIP URI.")]
TableQuery = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_\-]{1,32}$", description="Location table; the configured one if left out.")]


@router.get("")
async def read_bindings(aor: AorPath, service: ServiceDependency, table: TableQuery = None) -> AorOut:
    """Return what is stored of an address of record; an empty list where nothing is registered."""
    found = service.aor(aor, table)
    now_ms = service.clock.now_ms()
    snapshot = await service.read(found)
    return AorOut(aor=found.text, table=found.table, bindings=[BindingOut.of(binding, now_ms) for binding in snapshot.live(now_ms)])


@router.delete("")
async def remove_bindings(
    aor: AorPath,
    service: ServiceDependency,
    contact: Annotated[
        str | None, Query(max_length=8192, description="The Contact URI to remove, exactly as it is stored; all of them if left out.")
    ] = None,
    table: TableQuery = None,
) -> RemovedOut:
    """Remove one contact of an address of record, or all of them."""
    found = service.aor(aor, table)
    plan = await service.remove(found, contact)
    now_ms = service.clock.now_ms()
    left = [BindingOut.of(binding, now_ms) for binding in plan.bindings]
    return RemovedOut(aor=found.text, table=found.table, removed=plan.changed, bindings=left)
