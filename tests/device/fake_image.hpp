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

  std::vector<char> written() const {
    const Head head{magic, cubin.size(), source.size(), options.size()};
    std::vector<char> image(sizeof head);
    std::memcpy(image.data(), &head, sizeof head);
    image.insert(image.end(), cubin.begin(), cubin.end());
    image.insert(image.end(), source.begin(), source.end());
    image.insert(image.end(), options.begin(), options.end());
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
