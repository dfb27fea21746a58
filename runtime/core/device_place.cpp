// Asking hwloc about PCI devices.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/device_place.hpp"

#include <hwloc.h>

#include <memory>

namespace tessera {
namespace {

using Topology = std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)>;

// With PCI devices, which plans and workers do not look at; null where hwloc cannot tell.
Topology with_pci() {
  hwloc_topology_t loaded = nullptr;
  if (hwloc_topology_init(&loaded) != 0) return {nullptr, &hwloc_topology_destroy};
  Topology topology(loaded, &hwloc_topology_destroy);
  hwloc_topology_set_io_types_filter(loaded, HWLOC_TYPE_FILTER_KEEP_ALL);
  if (hwloc_topology_load(loaded) != 0) topology.reset();
  return topology;
}

}  // namespace

DevicePlace place_of(const std::string& pci_address) {
  DevicePlace place;
  const Topology topology = with_pci();
  if (!topology) return place;
  hwloc_obj_t beside = hwloc_get_root_obj(topology.get());
  if (!pci_address.empty()) {
    hwloc_obj_t device = hwloc_get_pcidev_by_busidstring(topology.get(), pci_address.c_str());
    if (!device) return place;
    place.link_bytes_per_s = static_cast<double>(device->attr->pcidev.linkspeed) * 1e9;
    beside = hwloc_get_non_io_ancestor_obj(topology.get(), device);
  }
  hwloc_obj_t node = nullptr;
  while ((node = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_NUMANODE, node)) != nullptr)
    if (hwloc_bitmap_isset(beside->nodeset, node->os_index))
      place.numa.push_back(static_cast<int>(node->logical_index));
  return place;
}

}  // namespace tessera
