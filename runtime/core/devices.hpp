// Which devices a run uses: "cpu:8", "cuda:0", "opencl:1".
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

namespace tessera {

// cpu:N is N workers, cuda:I and opencl:I a device's index.
struct DeviceSet {
  int cpu = 0;  // 0: as many as run.workers says
  std::vector<int> opencl = {}, cuda = {};

  bool only_cpu() const { return opencl.empty() && cuda.empty(); }
  bool operator==(const DeviceSet&) const = default;
};

// Throws Error naming the word that is none of these, or that there is twice. Whether the devices exist is
// the engine's question. CPU workers must be among them: StarPU cannot do without, nor can what runs nowhere
// else.
DeviceSet parse_devices(std::span<const std::string> words);

// "cpu:8,cuda:0" as words.
std::vector<std::string> split_devices(const std::string& text);

}  // namespace tessera
