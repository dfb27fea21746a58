// Finding policies.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/sched/policies.hpp"

#include <dlfcn.h>

#include <filesystem>

#include "runtime/core/error.hpp"
#include "runtime/core/text.hpp"

namespace tessera {
namespace {

std::unique_ptr<Scheduler> load(const std::string& whole, const std::string& file, const std::string& name) {
  std::error_code problem;
  if (!std::filesystem::is_regular_file(file, problem))
    throw error("scheduler {}: there is no file {}; write ./libmine.so:name", shown(whole), shown(file));
  if (name.empty()) throw error("scheduler {}: which one of it? Write {}:name", shown(whole), file);
  // Never closed: what it threw or what it left in tables may be looked at after its policy is gone.
  void* library = dlopen(std::filesystem::absolute(file).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw error("scheduler {}: cannot load it: {}", shown(whole), dlerror());
  void* function = dlsym(library, scheduler_function);
  if (function == nullptr)
    throw error("scheduler {}: {} has no function {}; export one, or build it against this version",
                shown(whole), shown(file), scheduler_function);
  std::unique_ptr<Scheduler> made(reinterpret_cast<SchedulerFunction*>(function)(name.c_str()));
  if (!made) throw error("scheduler {}: {} knows no policy {}", shown(whole), shown(file), shown(name));
  return made;
}

}  // namespace

std::unique_ptr<Scheduler> make_scheduler(const std::string& name) {
  for (const PolicyEntry& entry : policy_table())
    if (entry.name == name) return entry.make();
  const size_t colon = name.rfind(':');
  const std::string file = name.substr(0, colon);
  if (colon == std::string::npos && !file.ends_with(".so")) return nullptr;
  return load(name, file, colon == std::string::npos ? "" : name.substr(colon + 1));
}

}  // namespace tessera
