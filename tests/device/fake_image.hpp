// The fake's machine code: NVRTC's, with the source and definitions that OpenCL runs in its place.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace tessera {

struct FakeImage {
  std::vector<char> cubin;
  std::string source, options;

  std::string written() const {
    const Head head{magic, cubin.size(), source.size(), options.size()};
    std::string image(reinterpret_cast<const char*>(&head), sizeof head);
    image.append(cubin.data(), cubin.size()).append(source).append(options);
    return image;
  }

  static bool read(const void* from, FakeImage& image) {
    Head head;
    std::memcpy(&head, from, sizeof head);
    if (head.magic != magic) return false;
    const char* at = static_cast<const char*>(from) + sizeof head;
    image.cubin.assign(at, at + head.cubin);
    image.source.assign(at + head.cubin, head.source);
    image.options.assign(at + head.cubin + head.source, head.options);
    return true;
  }

 private:
  static constexpr uint64_t magic = 0x656b614655504723;
  struct Head {
    uint64_t magic, cubin, source, options;
  };
};

}  // namespace tessera
