// Finds CUDA's libraries at run time: the loader's own path, the toolkit's folders, then Python's packages.
// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <fmt/format.h>
#include <glob.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "runtime/device/cuda_api.hpp"

namespace tessera {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// Folders, some with wildcards, in the order in which they are tried.
std::vector<std::string> patterns() {
  std::vector<std::string> list{TESSERA_CUDA_LIBRARIES, "/usr/local/cuda/lib64", "/usr/local/cuda*/lib64"};
  if (const std::string home = variable("CUDA_HOME"); !home.empty())
    list.insert(list.begin(), home + "/lib64");
  std::vector<std::string> pythons;
  for (const char* prefix : {"VIRTUAL_ENV", "CONDA_PREFIX"})
    if (const std::string folder = variable(prefix); !folder.empty()) pythons.push_back(folder + "/lib");
  if (const std::string home = variable("HOME"); !home.empty()) pythons.push_back(home + "/.local/lib");
  pythons.insert(pythons.end(), {"/usr/local/lib", "/usr/lib"});
  for (const std::string& python : pythons)
    list.push_back(python + "/python3*/*-packages/nvidia/*/lib");  // site-packages, Debian's dist-packages
  return list;
}

std::vector<std::string> matches(const std::string& pattern) {
  std::vector<std::string> found;
  glob_t all{};
  if (glob(pattern.c_str(), 0, nullptr, &all) == 0) found.assign(all.gl_pathv, all.gl_pathv + all.gl_pathc);
  globfree(&all);
  return found;
}

void* open(const std::string& name) {
  if (void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  for (const std::string& pattern : patterns())
    for (const std::string& file : matches(pattern + "/" + name))
      if (void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  return nullptr;
}

// The table of one library; it stays loaded, as its threads and caches may outlive us.
template <class Table>
Table load(const char* stem) {
  const std::string name = fmt::format("lib{}.so.{}", stem, CUDART_VERSION / 1000);
  void* library = open(name);
  if (!library)
    throw failure("CUDA: {} is not found; put its folder into LD_LIBRARY_PATH, or CUDA's into CUDA_HOME",
                  name);
  Table table{};
  table.for_each([&](const char* call, auto& pointer) {
    void* found = dlsym(library, call);
    if (!found) throw failure("CUDA: {} has no {}; it is older than what this build needs", name, call);
    pointer = reinterpret_cast<std::decay_t<decltype(pointer)>>(found);
  });
  return table;
}

struct Libraries final : CudaApi {
  const CudaRuntime& runtime() const override {
    static const CudaRuntime table = load<CudaRuntime>("cudart");
    return table;
  }
  const Nvrtc& nvrtc() const override {
    static const Nvrtc table = load<Nvrtc>("nvrtc");
    return table;
  }
  const CublasLt& cublas_lt() const override {
    static const CublasLt table = load<CublasLt>("cublasLt");
    return table;
  }
};

}  // namespace

const CudaApi& cuda_api() {
  static const Libraries libraries;
  return libraries;
}

}  // namespace tessera
