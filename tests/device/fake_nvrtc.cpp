// The fake's compiler: the toolkit's, where it is, and the source itself.
// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "tests/device/fake_image.hpp"
#include "tests/device/fake_tables.hpp"

namespace tessera {
namespace {

using Guard = std::lock_guard<std::recursive_mutex>;

}  // namespace

Nvrtc FakeNvrtc::table() {
  return {.nvrtcVersion = version,
          .nvrtcGetErrorString = error_string,
          .nvrtcCreateProgram = create,
          .nvrtcCompileProgram = compile,
          .nvrtcGetProgramLogSize = log_size,
          .nvrtcGetProgramLog = log,
          .nvrtcGetCUBINSize = cubin_size,
          .nvrtcGetCUBIN = cubin,
          .nvrtcDestroyProgram = destroy};
}

// Of no real compiler, so that nobody takes its images from the cache.
nvrtcResult FakeNvrtc::version(int* major, int* minor) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcVersion")) return static_cast<nvrtcResult>(status);
  if (fake().real_nvrtc_)
    fake().real_nvrtc_->nvrtcVersion(major, minor);
  else
    *major = *minor = 0;
  *major += 1000;
  return NVRTC_SUCCESS;
}

const char* FakeNvrtc::error_string(nvrtcResult status) {
  return status == NVRTC_ERROR_COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_INVALID_INPUT";
}

FakeCuda::Program* FakeNvrtc::known(nvrtcProgram program) {
  auto found = fake().programs_.find(program);
  if (found != fake().programs_.end()) return found->second.get();
  fake().problem("there is no such program", 0);
  return nullptr;
}

nvrtcResult FakeNvrtc::create(nvrtcProgram* program, const char* source, const char* name, int n_headers,
                              const char* const* headers, const char* const* names) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcCreateProgram")) return static_cast<nvrtcResult>(status);
  auto made = std::make_unique<FakeCuda::Program>();
  made->source = source;
  if (fake().real_nvrtc_)
    fake().real_nvrtc_->nvrtcCreateProgram(&made->real, source, name, n_headers, headers, names);
  *program = reinterpret_cast<nvrtcProgram>(made.get());
  fake().programs_[made.get()] = std::move(made);
  return NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::compile(nvrtcProgram program, int n_options, const char* const* options) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcCompileProgram")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(program);
  if (!it) return NVRTC_ERROR_INVALID_PROGRAM;
  FakeImage image{{}, it->source, ""};
  for (int k = 0; k < n_options; ++k)
    if (std::strncmp(options[k], "-D", 2) == 0) image.options += std::string(" ") + options[k];
  if (it->real) {
    const Nvrtc& nvrtc = *fake().real_nvrtc_;
    if (const nvrtcResult status = nvrtc.nvrtcCompileProgram(it->real, n_options, options)) return status;
    size_t bytes = 0;
    nvrtc.nvrtcGetCUBINSize(it->real, &bytes);
    image.cubin.resize(bytes);
    nvrtc.nvrtcGetCUBIN(it->real, image.cubin.data());
    if (bytes == 0) fake().problem("there is no machine code: is the architecture a virtual one?", 0);
  }
  it->image = image.written();
  return NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::log_size(nvrtcProgram program, size_t* size) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcGetProgramLogSize")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(program);
  if (!it) return NVRTC_ERROR_INVALID_PROGRAM;
  *size = 1;
  return it->real ? fake().real_nvrtc_->nvrtcGetProgramLogSize(it->real, size) : NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::log(nvrtcProgram program, char* text) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcGetProgramLog")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(program);
  if (!it) return NVRTC_ERROR_INVALID_PROGRAM;
  *text = '\0';
  return it->real ? fake().real_nvrtc_->nvrtcGetProgramLog(it->real, text) : NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::cubin_size(nvrtcProgram program, size_t* size) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcGetCUBINSize")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(program);
  if (!it || it->image.empty()) return NVRTC_ERROR_INVALID_PROGRAM;
  *size = it->image.size();
  return NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::cubin(nvrtcProgram program, char* code) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcGetCUBIN")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(program);
  if (!it || it->image.empty()) return NVRTC_ERROR_INVALID_PROGRAM;
  it->image.copy(code, it->image.size());
  return NVRTC_SUCCESS;
}

nvrtcResult FakeNvrtc::destroy(nvrtcProgram* program) {
  Guard lock(fake().mutex_);
  if (int status = fake().enter("nvrtcDestroyProgram")) return static_cast<nvrtcResult>(status);
  FakeCuda::Program* it = known(*program);
  if (!it) return NVRTC_ERROR_INVALID_PROGRAM;
  if (it->real) fake().real_nvrtc_->nvrtcDestroyProgram(&it->real);
  fake().programs_.erase(*program);
  *program = nullptr;
  return NVRTC_SUCCESS;
}

}  // namespace tessera
