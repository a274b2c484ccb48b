// Roles and operators: nobody gives what they lack, the last admin stays, a role in use stays.
#include <catch2/catch.hpp>
#include <thread>

#include "controlplane/domain/errors.h"
#include "controlplane/domain/roles.h"
#include "store/database.h"
#include "store/fleet.h"

namespace bulkhead::controlplane {
namespace {

using namespace test;  // NOLINT: the helpers of these tests

struct Fixture {
  Fixture() {
    Add("root", "admin", 'a');
    Add("olga", "operator", 'b');
  }
  void Add(const std::string& name, const std::string& role, char fingerprint) {
    REQUIRE_OK(store->InsertOperator({.name = name, .role = role}, std::string(64, fingerprint)));
  }
  absl::StatusOr<Role> Create(const std::string& by, const std::string& name, std::vector<std::string> permissions) {
    return Give(*store, [&](Transaction& tx) {
      return orders::CreateRole(tx, By(by),
                                {.name = name, .permissions = permissions, .created_by = {}, .created_at = {}});
    });
  }
  absl::StatusOr<Operator> SetRole(const std::string& by, const std::string& name, const std::string& role) {
    return Give(*store, [&](Transaction& tx) { return orders::SetOperatorRole(tx, By(by), name, role); });
  }
  absl::StatusOr<Operator> Disable(const std::string& by, const std::string& name, bool disabled = true) {
    return Give(*store, [&](Transaction& tx) { return orders::SetOperatorDisabled(tx, By(by), name, disabled); });
  }
  absl::Status Delete(const std::string& name) {
    return store->Run([&](Transaction& tx) { return orders::DeleteRole(tx, By("root"), name); });
  }

  Database database;
  std::unique_ptr<Store> store = database.Open();
};

TEST_CASE_METHOD(Fixture, "an operator without agents:manage: a role that an admin made, from the next call on") {
  const auto made = Create("root", "responder", {"sensors:contain", "sensors:read", "sensors:read"});
  REQUIRE_OK(made);
  CHECK(made->permissions == std::vector<std::string>{"sensors:contain", "sensors:read"});
  CHECK(made->created_by == "root");
  REQUIRE_OK(SetRole("root", "olga", "responder"));
  const auto olga = store->FindOperator(std::string(64, 'b'));
  REQUIRE_OK(olga);
  CHECK(OperatorHas(*olga, "sensors:contain"));
  CHECK_CODE(CheckPermission(*olga, "/bulkhead.v1.SensorService/ContainSensor"), kOk);
  CHECK_CODE(CheckPermission(*olga, "/bulkhead.v1.IsolationRuleService/CreateIsolationRule"), kPermissionDenied);
  CHECK_CODE(CheckPermission(*olga, "/bulkhead.v1.SensorService/NoSuchMethod"), kPermissionDenied);
  CHECK(database.Value("SELECT details FROM audit_log WHERE action = 'operator_role_set'").find("responder") !=
        std::string::npos);
}

TEST_CASE_METHOD(Fixture, "nobody gives what they do not have") {
  REQUIRE_OK(Create("root", "manager", {"access:manage", "sensors:read"}));
  REQUIRE_OK(SetRole("root", "olga", "manager"));
  CHECK(ReasonOf(Create("olga", "more", {"sensors:manage"}).status()) == "ROLE_BEYOND_CALLER");
  CHECK(ReasonOf(SetRole("olga", "olga", "admin").status()) == "ROLE_BEYOND_CALLER");
  CHECK(ReasonOf(SetRole("olga", "root", "operator").status()) == "ROLE_BEYOND_CALLER");
  Add("petra", "admin", 'c');
  REQUIRE_OK(Disable("root", "petra"));
  CHECK(ReasonOf(Disable("olga", "petra", false).status()) == "ROLE_BEYOND_CALLER");
  REQUIRE_OK(Create("olga", "reader", {"sensors:read"}));
}

TEST_CASE_METHOD(Fixture, "roles that cannot be are refused with the field") {
  CHECK(FieldOf(Create("root", "admin", {"sensors:read"}).status()) == "name");
  for (const std::string& name :
       {std::string(), std::string("Ci"), std::string("1a"), std::string("a b"), std::string(65, 'a')}) {
    INFO(name);
    CHECK(FieldOf(Create("root", name, {"sensors:read"}).status()) == "name");
  }
  CHECK(FieldOf(Create("root", "ci", {}).status()) == "permissions");
  CHECK(FieldOf(Create("root", "ci", {"sensors:read", "everything"}).status()) == "permissions");
  REQUIRE_OK(Create("root", "ci", {"sensors:read"}));
  CHECK(ReasonOf(Create("root", "ci", {"sensors:read"}).status()) == "ROLE_NAME_TAKEN");
  CHECK(ReasonOf(SetRole("root", "olga", "no-such").status()) == "ROLE_NOT_FOUND");
  CHECK(ReasonOf(SetRole("root", "nobody", "ci").status()) == "OPERATOR_NOT_FOUND");
  CHECK(FieldOf(store->InsertOperator({.name = "new", .role = "no-such"}, std::string(64, 'e'))) == "role");
  REQUIRE_OK(store->InsertOperator({.name = "new", .role = "ci"}, std::string(64, 'e')));
}

TEST_CASE_METHOD(Fixture, "a role that somebody has is not deleted; one that nobody has is, and gives nothing more") {
  REQUIRE_OK(Create("root", "ci", {"sensors:read"}));
  REQUIRE_OK(SetRole("root", "olga", "ci"));
  CHECK(ReasonOf(Delete("ci")) == "ROLE_IN_USE");
  CHECK(FieldOf(Delete("viewer")) == "name");
  REQUIRE_OK(SetRole("root", "olga", "viewer"));
  REQUIRE_OK(Delete("ci"));
  CHECK(ReasonOf(Delete("ci")) == "ROLE_NOT_FOUND");
  CHECK_FALSE(OperatorHas({.name = "x", .role = "ci"}, "sensors:read"));
}

TEST_CASE_METHOD(Fixture, "the last admin is neither disabled nor demoted, by two at once either") {
  CHECK(ReasonOf(Disable("root", "root").status()) == "LAST_ADMIN");
  CHECK(ReasonOf(SetRole("root", "root", "viewer").status()) == "LAST_ADMIN");
  Add("petra", "admin", 'c');
  absl::Status results[2];
  std::thread other([&] { results[1] = Disable("petra", "root").status(); });
  results[0] = Disable("root", "petra").status();
  other.join();
  CHECK(results[0].ok() != results[1].ok());
  CHECK(database.Value("SELECT count(*) FROM operators WHERE role = 'admin' AND NOT disabled") == "1");
}

TEST_CASE_METHOD(Fixture, "operators are listed in pages, and disabled ones come back") {
  REQUIRE_OK(Disable("root", "olga"));
  CHECK(store->FindOperator(std::string(64, 'b'))->disabled);
  REQUIRE_OK(Disable("root", "olga", false));
  CHECK_FALSE(store->FindOperator(std::string(64, 'b'))->disabled);
  Add("Zoe", "viewer", 'd');
  std::vector<std::string> names;
  std::string next;
  do {
    const auto page = Give(*store, [&](Transaction& tx) { return tx.ListOperators(2, next); });
    REQUIRE_OK(page);
    for (const Operator& op : page->items) names.push_back(op.name);
    next = page->next_page_token;
  } while (!next.empty());
  CHECK(names == std::vector<std::string>{"Zoe", "olga", "root"});
}

}  // namespace
}  // namespace bulkhead::controlplane
