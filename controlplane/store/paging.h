// Makes pages of rows that were read in order of a key.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "controlplane/domain/page_token.h"
#include "controlplane/store/store.h"

namespace bulkhead::controlplane {

// `items` has one more than a page when there are more; `keys_of(item)` gives the sort keys of an item.
template <typename T, typename KeysOf>
Page<T> MakePage(std::vector<T> items, int page_size, const std::string& list, KeysOf keys_of) {
  Page<T> page;
  const bool more = items.size() > static_cast<size_t>(page_size);
  if (more) items.resize(static_cast<size_t>(page_size));
  if (more) page.next_page_token = EncodePageToken(list, keys_of(items.back()));
  page.items = std::move(items);
  return page;
}

}  // namespace bulkhead::controlplane
