// The queue in front of the stream.
#include "sensor/link/outbox.h"

#include <catch2/catch.hpp>
#include <thread>

namespace bulkhead::sensor {
namespace {

v1::ConnectRequest Heartbeat(uint64_t sequence) {
  v1::ConnectRequest message;
  message.mutable_heartbeat()->set_sequence(sequence);
  return message;
}

v1::ConnectRequest Result(const std::string& id) {
  v1::ConnectRequest message;
  message.mutable_command_result()->set_command_id(id);
  return message;
}

TEST_CASE("messages leave in order, and a full queue takes no more") {
  Outbox outbox(2);
  CHECK(outbox.Push(Result("a")));
  CHECK(outbox.Push(Result("b")));
  CHECK_FALSE(outbox.Push(Result("c")));
  CHECK(outbox.Pop()->command_result().command_id() == "a");
  CHECK(outbox.Push(Result("c")));
  CHECK(outbox.Pop()->command_result().command_id() == "b");
  CHECK(outbox.Pop()->command_result().command_id() == "c");
}

TEST_CASE("only the newest heartbeat waits, also when the queue is full") {
  Outbox outbox(2);
  outbox.Push(Heartbeat(1));
  outbox.Push(Result("a"));
  CHECK(outbox.Push(Heartbeat(2)));
  CHECK(outbox.Pop()->heartbeat().sequence() == 2);
  CHECK(outbox.Pop()->has_command_result());
}

TEST_CASE("closing wakes who waits and takes nothing more") {
  Outbox outbox(2);
  std::thread waiting([&outbox] { CHECK_FALSE(outbox.Pop().has_value()); });
  outbox.Close();
  waiting.join();
  CHECK_FALSE(outbox.Push(Result("a")));
}

}  // namespace
}  // namespace bulkhead::sensor
