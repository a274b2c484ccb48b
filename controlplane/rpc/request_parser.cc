// Walks a message on the wire and after parsing, to name the field that is wrong.
#include "controlplane/rpc/request_parser.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controlplane/domain/errors.h"
#include "controlplane/domain/validate.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/unknown_field_set.h"

namespace bulkhead::controlplane {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

std::string Join(const std::string& path, const std::string& name) {
  return path.empty() ? name : absl::StrCat(path, ".", name);
}

// Checks the text fields on the wire: protobuf refuses bad UTF-8 without saying where.
absl::Status CheckTexts(const UnknownFieldSet& fields, const Descriptor& type, const std::string& path) {
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    const FieldDescriptor* descriptor = type.FindFieldByNumber(field.number());
    if (descriptor == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    const std::string here = Join(path, descriptor->name());
    if (descriptor->type() == FieldDescriptor::TYPE_STRING && !IsCleanUtf8(field.length_delimited())) {
      return InvalidField(here, "must be valid UTF-8 without NUL");
    }
    if (descriptor->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    UnknownFieldSet inner;
    if (!inner.ParseFromString(field.length_delimited())) continue;
    RETURN_IF_ERROR(CheckTexts(inner, *descriptor->message_type(), here));
  }
  return absl::OkStatus();
}

absl::Status NotAMessage(const Message& wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("the bytes are not a ", wanted.GetDescriptor()->full_name(), " message"));
}

absl::Status CheckKnown(const Message& message, const std::string& path);

absl::Status CheckEnum(const Message& message, const FieldDescriptor& field, const std::string& path) {
  const Reflection& reflection = *message.GetReflection();
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    const int value = field.is_repeated() ? reflection.GetRepeatedEnumValue(message, &field, i)
                                          : reflection.GetEnumValue(message, &field);
    if (field.enum_type()->FindValueByNumber(value) == nullptr) {
      return InvalidField(path, absl::StrCat(value, " is not a value of ", field.enum_type()->name()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNested(const Message& message, const FieldDescriptor& field, const std::string& path) {
  const Reflection& reflection = *message.GetReflection();
  if (!field.is_repeated()) return CheckKnown(reflection.GetMessage(message, &field), path);
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    RETURN_IF_ERROR(CheckKnown(reflection.GetRepeatedMessage(message, &field, i), absl::StrCat(path, "[", i, "]")));
  }
  return absl::OkStatus();
}

// Refuses unknown fields and unknown enum values, at any depth.
absl::Status CheckKnown(const Message& message, const std::string& path) {
  const Reflection& reflection = *message.GetReflection();
  const UnknownFieldSet& unknown = reflection.GetUnknownFields(message);
  if (!unknown.empty()) {
    return InvalidField(Join(path, absl::StrCat("#", unknown.field(0).number())),
                        "this control plane does not know this field; upgrade it, or use an older client");
  }
  std::vector<const FieldDescriptor*> set;
  reflection.ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    const std::string here = Join(path, field->name());
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) RETURN_IF_ERROR(CheckEnum(message, *field, here));
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) RETURN_IF_ERROR(CheckNested(message, *field, here));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseLeniently(const std::string& bytes, Message* message) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return NotAMessage(*message);
  RETURN_IF_ERROR(CheckTexts(fields, *message->GetDescriptor(), ""));
  return message->ParseFromString(bytes) ? absl::OkStatus() : NotAMessage(*message);
}

absl::Status ParseStrictly(const std::string& bytes, Message* message) {
  RETURN_IF_ERROR(ParseLeniently(bytes, message));
  return CheckKnown(*message, "");
}

std::string SerializeDeterministically(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream output(&stream);
    output.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&output);
  }
  return bytes;
}

}  // namespace bulkhead::controlplane
