// The files without which this host, or the sensor on it, would not work.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sensor/kernel/found_file.h"

namespace bulkhead::sensor {

struct NeededFile {
  std::string path;
  std::string what;  // "the host's init"
  bool own = false;  // the sensor's own program: never blocked, whoever asks
  FileWitness witness;
};

// Found on this host when it is made: init, the sensor, every library that they run on, the loader, shells, package
// managers. Not thread safe.
class NeededFiles {
 public:
  static NeededFiles OfThisHost();

  // The one that `file` is, under any name, or has the content of; null when the host can do without it.
  const NeededFile* Find(const FoundFile& file, const FileContent& content) const;

  // The one whose content has this SHA-256 (32 bytes), or null. Reads them all, once.
  const NeededFile* FindContent(const std::string& sha256);

 private:
  void Add(const std::string& path, const std::string& what, bool own);

  std::vector<NeededFile> files_;
  std::map<std::string, size_t> contents_;  // SHA-256 to the place in files_; empty: not read yet
};

}  // namespace bulkhead::sensor
