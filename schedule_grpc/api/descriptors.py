"""The descriptors of what a server answers, as reflection hands them out: found by file and by symbol.

Ours are read from a file that protoc made. Python's own descriptors have neither comments nor JSON names, and upb's
pool finds no file by a method's name.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

V1ALPHA = "grpc.reflection.v1alpha"
V1 = "grpc.reflection.v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptors:
    """Files, and the symbols that they define."""

    files: Mapping[str, FileDescriptorProto]
    file_of_symbol: Mapping[str, str]
    messages: frozenset[str]

    def with_dependencies(self, name: str) -> tuple[bytes, ...]:
        """Return a file and all files that it needs, itself first; empty if there is none of this name."""
        if name not in self.files:
            return ()
        wanted = [name]
        for each in wanted:  # grows while it is gone through
            wanted.extend(other for other in self.files[each].dependency if other not in wanted)
        return tuple(self.files[each].SerializeToString() for each in wanted)


@cache
def served() -> Descriptors:
    """Return the descriptors of our services, of health and reflection, and of the details of errors."""
    ours = FileDescriptorSet.FromString(files("schedule_grpc.pb").joinpath("descriptors.binpb").read_bytes())
    found = {file.name: file for file in ours.file}
    modules: tuple[Any, ...] = (health_pb2, reflection_pb2, error_details_pb2, status_pb2)
    for module in modules:
        _add(module.DESCRIPTOR, found)
    v1 = _as_v1(found[reflection_pb2.DESCRIPTOR.name])
    found[v1.name] = v1
    return indexed(found.values())


def indexed(described: Iterable[FileDescriptorProto]) -> Descriptors:
    """Return the descriptors of these files."""
    by_name = {file.name: file for file in described}
    return Descriptors(
        files=by_name,
        file_of_symbol={symbol: file.name for file in by_name.values() for symbol in _symbols(file)},
        messages=frozenset(
            symbol for file in by_name.values() for symbol in _messages(file.package, file.message_type)
        ),
    )


def _add(file: FileDescriptor, found: dict[str, FileDescriptorProto]) -> None:
    """Add a file that a Python module describes, and what it needs, unless it is there."""
    if file.name in found:
        return
    found[file.name] = described = FileDescriptorProto()
    file.CopyToProto(described)
    for dependency in file.dependencies:
        _add(dependency, found)


def _as_v1(v1alpha: FileDescriptorProto) -> FileDescriptorProto:
    """Return the contract of reflection v1: that of v1alpha in another package, by the wire the same.

    It is derived because grpcio-reflection has none. A generated module would fail to load beside a later
    grpcio-reflection that registers a file of the same name with other comments or options.
    """
    v1 = FileDescriptorProto.FromString(v1alpha.SerializeToString())
    v1.name, v1.package = "grpc/reflection/v1/reflection.proto", V1
    for message in v1.message_type:
        for field in message.field:
            field.type_name = field.type_name.replace(f".{V1ALPHA}.", f".{V1}.")
    for service in v1.service:
        for method in service.method:
            method.input_type = method.input_type.replace(f".{V1ALPHA}.", f".{V1}.")
            method.output_type = method.output_type.replace(f".{V1ALPHA}.", f".{V1}.")
    return v1


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Yield every name that a file defines: messages, fields, oneofs, enums, their values, services and methods."""
    yield from _of_messages(file.package, file.message_type)
    yield from _of_enums(file.package, file.enum_type)
    yield from (f"{file.package}.{extension.name}" for extension in file.extension)
    for service in file.service:
        name = f"{file.package}.{service.name}"
        yield name
        yield from (f"{name}.{method.name}" for method in service.method)


def _of_messages(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[str]:
    for message in messages:
        name = f"{scope}.{message.name}"
        yield name
        for parts in (message.field, message.oneof_decl, message.extension):
            yield from (f"{name}.{part.name}" for part in parts)
        yield from _of_enums(name, message.enum_type)
        yield from _of_messages(name, message.nested_type)


def _of_enums(scope: str, enums: Iterable[EnumDescriptorProto]) -> Iterator[str]:
    for enum in enums:
        yield f"{scope}.{enum.name}"
        yield from (f"{scope}.{value.name}" for value in enum.value)  # a value is a sibling of its enum


def _messages(scope: str, messages: Iterable[DescriptorProto]) -> Iterator[str]:
    for message in messages:
        yield f"{scope}.{message.name}"
        yield from _messages(f"{scope}.{message.name}", message.nested_type)
