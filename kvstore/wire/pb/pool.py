"""The descriptor pool that holds our messages, and nobody else's."""

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

POOL = DescriptorPool()


def define(file: bytes, module: dict[str, Any]) -> FileDescriptor:
    """Register an encoded FileDescriptorProto and put its classes and enums into `module`.

    The files that it imports must be registered already. Uses the runtime's public interface only,
    so that the generated code is tied to no release of protobuf.
    """
    descriptor: FileDescriptor = POOL.AddSerializedFile(file)
    for name, message in descriptor.message_types_by_name.items():
        message_class = message_factory.GetMessageClass(message)
        message_class.__module__ = module["__name__"]
        module[name] = message_class
    for name, enum in descriptor.enum_types_by_name.items():
        module[name] = EnumTypeWrapper(enum)
        module.update({value.name: value.number for value in enum.values})
    return descriptor
