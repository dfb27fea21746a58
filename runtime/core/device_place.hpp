// Where a device sits in the machine: next to which memories, behind which link; from hwloc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tessera {

struct DevicePlace {
  std::vector<int> numa;        // NUMA nodes it is next to, as in Machine::memories; empty: not known
  double link_bytes_per_s = 0;  // of its PCI link, each way; 0: not known
};

// Of the device at a PCI address such as "0000:1b:00.0". Without an address it is the CPU: all nodes.
DevicePlace place_of(const std::string& pci_address);

}  // namespace tessera
