// The interface wall as one layer of the datapath: there or not, kept up, and described for the operator.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "sensor/domain/observed_state.h"
#include "sensor/kernel/interfaces/interface_news.h"
#include "sensor/kernel/interfaces/interface_wall.h"
#include "sensor/kernel/interfaces/resolution_lists.h"

namespace bulkhead::sensor {

// Never fails: a host that cannot carry it is still contained by the other walls, and says what is missing. Not thread
// safe.
class InterfaceLayer {
 public:
  // Opens the wall on the physical interfaces; see InterfaceWall::Open. With `host_wide` false there is none: an
  // interface belongs to the whole host. The filters that are there stay until Attach.
  InterfaceLayer(const std::string& pin_directory, bool host_wide);

  // Puts the filters in place of those of an earlier sensor. OK also where there is no such wall.
  absl::Status Attach();

  // Are the filters there?
  bool guards() const { return attached_ && problem_.empty(); }
  // For Capabilities: "tc_interfaces".
  Mechanism mechanism() const;

  // Adds the programs, what was taken away and, while a wall is up on the whole host, what is missing to `observed`.
  void Describe(ObservedState* observed) const;

  // Behind a wall on the whole host: takes away what others attached where packets pass before the wall, or past it;
  // see InterfaceWall::StandAlone, TakeForeignFilters and DetachXdp.
  void ClearTheWay();
  // Forgets what was taken away; for a new order.
  void Reset() { taken_ = Ended(); }
  // Takes the neighbours that this host may ask for behind the wall that is about to rise; see ResolutionLists.
  void TakeNeighbours();
  // See ResolutionLists::Follow.
  std::vector<std::string> Follow(const std::vector<bh_endpoint>& own, const std::vector<bh_endpoint>& control_plane);

  // Says what was repaired.
  std::vector<std::string> Repair();

  // Readable when an interface appeared or changed, and Repair is due; -1 where nobody needs to know.
  int news_fd() const { return news_.has_value() ? news_->fd() : -1; }

 private:
  // Why there is no wall after opening or maintaining it ended so; empty when it works.
  std::string ProblemAfter(const absl::Status& status) const;
  // Tells the frames programs which interfaces nobody moves to another network namespace behind a wall.
  void KeepHere();

  const std::string directory_;
  const bool host_wide_;
  bool attached_ = false;
  std::unique_ptr<InterfaceWall> wall_;
  std::optional<ResolutionLists> lists_;  // of the wall
  std::optional<InterfaceNews> news_;     // without it a new interface is seen at the next round
  std::string problem_;                   // why there is no wall; empty when it works
  std::string following_problem_;         // why the neighbours are not followed; empty when they are
  std::string moving_problem_;            // why interfaces can be moved from under it; empty when they cannot
  Ended taken_;                           // since the order
};

}  // namespace bulkhead::sensor
