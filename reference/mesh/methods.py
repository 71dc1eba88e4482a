"""Methods of a service, as the mesh client calls them, from the service's descriptor."""

from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor

from .dialling import Method


def method_of(service: ServiceDescriptor, name: str) -> Method:
    """Return one method.

    Args:
        service: of a generated module: `DESCRIPTOR.services_by_name[...]`.
        name: the method's, without its service.
    """
    descriptor = service.methods_by_name[name]
    request = message_factory.GetMessageClass(descriptor.input_type)
    response = message_factory.GetMessageClass(descriptor.output_type)
    return Method(
        path=f"/{service.full_name}/{name}",
        request_streaming=descriptor.client_streaming,
        response_streaming=descriptor.server_streaming,
        serialize=request.SerializeToString,
        deserialize=response.FromString,
    )
