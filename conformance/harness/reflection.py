"""An implementation's own descriptors, read by server reflection."""

from dataclasses import dataclass

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from grpc_reflection.v1alpha import reflection_pb2 as pb

from .calls import Channel, parsed
from .judging import untestable

VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
"""Packages in which a service may offer reflection; their messages are the same on the wire."""

_IS_IMPORT = b"\xd2\xf6\x03\x02\x08\x01"
"""Field 8042 of a file in a buf image: `buf_extension { is_import: true }`."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What a service says that it offers."""

    services: tuple[str, ...]
    files: dict[str, FileDescriptorProto]

    def image(self, own: str) -> bytes:
        """Return the files, dependencies first, as a buf image.

        Args:
            own: what the paths of the files begin with that are to be judged; the others
                are marked as imports.
        """
        ordered: dict[str, FileDescriptorProto] = {}

        def add(name: str) -> None:
            if name not in ordered and name in self.files:
                for dependency in self.files[name].dependency:
                    add(dependency)
                ordered[name] = FileDescriptorProto.FromString(self.files[name].SerializeToString())

        for name in self.files:
            add(name)
        for name, file in ordered.items():
            for message in file.message_type:
                _name_for_json(message)
            if not name.startswith(own):
                file.MergeFromString(_IS_IMPORT)
        return FileDescriptorSet(file=ordered.values()).SerializeToString()


def _name_for_json(message: DescriptorProto) -> None:
    """Fill in the default JSON names, which some generators leave out of what they embed."""
    for field in message.field:
        if not field.json_name:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(word.capitalize() for word in others)
    for nested in message.nested_type:
        _name_for_json(nested)


async def read(channel: Channel) -> Schema:
    """Ask a service for its services and all files that they need.

    Raises:
        Untestable: it offers no reflection.
    """
    for package in VERSIONS:
        schema = await _read(channel, f"/{package}.ServerReflection/ServerReflectionInfo")
        if schema is not None:
            return schema
    return untestable("the service offers neither grpc.reflection.v1 nor v1alpha")


async def _read(channel: Channel, path: str) -> Schema | None:
    """Read everything; None when the service does not offer that version of reflection."""
    listed = await _ask(channel, path, [pb.ServerReflectionRequest(list_services="")])
    if not listed:
        return None
    services = tuple(service.name for service in listed[0].list_services_response.service)
    files: dict[str, FileDescriptorProto] = {}
    answers = await _ask(
        channel, path, [pb.ServerReflectionRequest(file_containing_symbol=s) for s in services]
    )
    _take(answers, files)
    while missing := {d for f in files.values() for d in f.dependency} - set(files):
        before = len(files)
        _take(
            await _ask(
                channel, path, [pb.ServerReflectionRequest(file_by_filename=d) for d in missing]
            ),
            files,
        )
        if len(files) == before:
            untestable(f"reflection does not know the files {sorted(missing)} that others import")
    return Schema(services=services, files=files)


def _take(
    answers: list[pb.ServerReflectionResponse], files: dict[str, FileDescriptorProto]
) -> None:
    for answer in answers:
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file: FileDescriptorProto = parsed(raw, FileDescriptorProto)
            files[file.name] = file


async def _ask(
    channel: Channel, path: str, requests: list[pb.ServerReflectionRequest]
) -> list[pb.ServerReflectionResponse]:
    answers: list[pb.ServerReflectionResponse] = []
    for request in requests:
        messages, answer = await channel.messages(path, request.SerializeToString())
        if answer.code == "UNIMPLEMENTED":
            return []
        if answer.code != "OK":
            untestable(f"reflection failed: {answer.code} {answer.message}")
        answers += [parsed(message, pb.ServerReflectionResponse) for message in messages]
    return answers
