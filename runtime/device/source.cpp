// An op's device source with its head.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/source.hpp"

#include <algorithm>

#include "runtime/core/error.hpp"

namespace tessera {

// portable.h, vectors.h, eights.h, random.h and matrix_units.h of this folder.
extern const std::string_view device_head;

std::string device_source(std::string_view op) {
  const auto& all = device_sources();
  const auto found = std::find_if(all.begin(), all.end(), [&](const DeviceSource& s) { return s.op == op; });
  if (found == all.end()) throw failure("there is no device source codelets/*/{}_gpu.cl", op);
  return std::string(device_head) + "\n#line 1\n" + std::string(found->text);
}

std::string error_line(const std::string& log) {
  size_t at = log.find("error");
  if (at == std::string::npos) at = 0;
  const size_t begin = log.rfind('\n', at) == std::string::npos ? 0 : log.rfind('\n', at) + 1;
  return log.substr(begin, log.find('\n', at) - begin);
}

}  // namespace tessera
