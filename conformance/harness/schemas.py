"""Schemas as values that compare: what a service serves, against what protos/ says."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    MethodDescriptorProto,
)

from .judging import expect
from .reflection import Schema


def expect_served(schema: Schema, wanted: FileDescriptor, service: str) -> None:
    """Compare the methods, messages and enums of a service with those of a file of protos/.

    More of them is allowed, another one is not.

    Args:
        schema: what is served.
        wanted: the file of protos/ that holds the service.
        service: its full name.

    Raises:
        NonConformance: they differ.
    """
    file = FileDescriptorProto()
    wanted.CopyToProto(file)
    served = file_of(schema, service)
    for what, of in (("methods", _methods(service)), ("messages and enums", _types)):
        right, found = of(file), of(served)
        expect(
            {name: found.get(name) for name in right},
            equals=right,
            what=f"{what} of protos/, as served",
        )


def file_of(schema: Schema, service: str) -> FileDescriptorProto:
    """Return the served file that holds a service, whatever its path.

    Raises:
        NonConformance: reflection lists none.
    """
    files = [
        file
        for file in schema.files.values()
        if any(f"{file.package}.{one.name}" == service for one in file.service)
    ]
    expect(len(files), equals=1, what=f"files with {service} that reflection lists")
    return files[0]


def methods_of(file: FileDescriptorProto, service: str) -> list[MethodDescriptorProto]:
    """Return the methods of a service of a file."""
    return [
        method
        for one in file.service
        if f"{file.package}.{one.name}" == service
        for method in one.method
    ]


def _methods(service: str) -> Any:
    def of(file: FileDescriptorProto) -> dict[str, Any]:
        return {
            method.name: (
                method.input_type,
                method.output_type,
                method.client_streaming,
                method.server_streaming,
            )
            for method in methods_of(file, service)
        }

    return of


def _types(file: FileDescriptorProto) -> dict[str, Any]:
    return {message.name: _message(message) for message in file.message_type} | {
        enum.name: _enum(enum) for enum in file.enum_type
    }


def _message(message: DescriptorProto) -> dict[str, Any]:
    oneofs = [oneof.name for oneof in message.oneof_decl]
    fields = {
        field.name: (
            field.number,
            field.type,
            field.label,
            field.type_name,
            oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
        )
        for field in message.field
    }
    nested = {inner.name: _message(inner) for inner in message.nested_type}
    return fields | nested | {enum.name: _enum(enum) for enum in message.enum_type}


def _enum(enum: EnumDescriptorProto) -> dict[str, int]:
    return {value.name: value.number for value in enum.value}
