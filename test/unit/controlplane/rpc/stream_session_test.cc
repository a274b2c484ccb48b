// The two rules of a stream, one write in flight and Finish exactly once, in every order in which things can happen.
#include "controlplane/rpc/stream_session.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"

namespace bulkhead::controlplane {
namespace {

// Fails the test when a rule is broken.
class FakeTransport : public StreamSession::Transport {
 public:
  void StartRead() override { ++reads; }
  void StartWrite(const std::string& message) override {
    CHECK_FALSE(writing);
    CHECK(finishes == 0);
    writing = true;
    written.push_back(message);
  }
  void Finish(const grpc::Status& status) override {
    CHECK_FALSE(writing);
    ++finishes;
    finished_with = status;
  }
  void Cancel() override { ++cancels; }

  bool writing = false;
  int reads = 0;
  int finishes = 0;
  int cancels = 0;
  std::vector<std::string> written;
  grpc::Status finished_with;
};

struct Fixture {
  FakeTransport transport;
  StreamSession session{&transport, /*max_queued=*/3};

  void Written(bool ok = true) {
    transport.writing = false;
    session.OnWriteDone(ok);
  }
};

const grpc::Status kAborted(grpc::StatusCode::ABORTED, "superseded");

TEST_CASE_METHOD(Fixture, "messages go out one at a time and in order") {
  CHECK(session.Send("a"));
  CHECK(session.Send("b"));
  CHECK(transport.written == std::vector<std::string>{"a"});
  CHECK_FALSE(session.idle());
  Written();
  CHECK(transport.written == std::vector<std::string>{"a", "b"});
  Written();
  CHECK(session.idle());
}

TEST_CASE_METHOD(Fixture, "closing waits for what is queued and finishes once with the first status") {
  session.Send("goodbye");
  session.Close(kAborted, absl::Now());
  session.Close(grpc::Status::OK, absl::Now());
  CHECK(transport.finishes == 0);
  Written();
  CHECK(transport.finishes == 1);
  CHECK(transport.finished_with.error_code() == grpc::StatusCode::ABORTED);
  CHECK_FALSE(session.Send("late"));
  CHECK(transport.finishes == 1);
}

TEST_CASE_METHOD(Fixture, "a failed write drops the queue and still finishes") {
  session.Send("a");
  session.Send("b");
  Written(false);
  CHECK(transport.written.size() == 1);
  CHECK(transport.finishes == 1);
  CHECK(session.closed());
}

TEST_CASE_METHOD(Fixture, "a peer that goes away while nothing is written is finished at once") {
  session.OnCancelled();
  CHECK(transport.finishes == 1);
  session.Close(grpc::Status::OK, absl::Now());
  session.OnCancelled();
  CHECK(transport.finishes == 1);
}

TEST_CASE_METHOD(Fixture, "a peer that goes away during a write is finished after it") {
  session.Send("a");
  session.OnCancelled();
  CHECK(transport.finishes == 0);
  Written(false);
  CHECK(transport.finishes == 1);
}

TEST_CASE_METHOD(Fixture, "a peer that does not read is closed when its queue is full") {
  for (int i = 0; i < 4; ++i) CHECK(session.Send("x"));  // one in flight, three queued
  CHECK_FALSE(session.Send("x"));
  CHECK(session.closed());
  Written();
  CHECK(transport.finishes == 1);
  CHECK(transport.finished_with.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_CASE_METHOD(Fixture, "at most one read is outstanding, and none after closing") {
  session.RequestRead();
  session.RequestRead();
  CHECK(transport.reads == 1);
  session.OnReadDone();
  session.RequestRead();
  CHECK(transport.reads == 2);
  session.OnReadDone();
  session.Close(grpc::Status::OK, absl::Now());
  session.RequestRead();
  CHECK(transport.reads == 2);
}

TEST_CASE_METHOD(Fixture, "a close that the peer holds up is enforced after the grace, and not before") {
  const absl::Time now = absl::Now();
  session.EnforceClose(absl::Seconds(1), now);
  session.Send("goodbye");
  session.Close(kAborted, now);
  session.EnforceClose(absl::Seconds(1), now + absl::Milliseconds(999));
  CHECK(transport.cancels == 0);
  session.EnforceClose(absl::Seconds(1), now + absl::Seconds(1));
  CHECK(transport.cancels == 1);
  Written(false);
  session.EnforceClose(absl::Seconds(1), now + absl::Seconds(5));
  CHECK(transport.cancels == 1);
  CHECK(transport.finishes == 1);
}

TEST_CASE_METHOD(Fixture, "after the call is over nothing of the transport is touched") {
  session.Send("a");
  session.Detach();
  CHECK_FALSE(session.Send("b"));
  session.RequestRead();
  session.Close(grpc::Status::OK, absl::Now());
  session.OnWriteDone(true);
  session.EnforceClose(absl::ZeroDuration(), absl::Now());
  CHECK(transport.written.size() == 1);
  CHECK(transport.reads == 0);
  CHECK(transport.finishes == 0);
  CHECK(transport.cancels == 0);
}

}  // namespace
}  // namespace bulkhead::controlplane
