// Reading, mapping and atomic writing of files with POSIX calls.
// SPDX-License-Identifier: Apache-2.0
#include "runtime/core/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "runtime/core/error.hpp"

namespace tessera {
namespace {

namespace fs = std::filesystem;

struct Descriptor {
  int fd;

  explicit Descriptor(int opened) : fd(opened) {}
  Descriptor(Descriptor&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

Descriptor open_to_read(const fs::path& file, uint64_t& size) {
  Descriptor opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (opened.fd < 0) {
    if (errno == ENOENT) throw error("{}: no such file; check the path", file.string());
    throw error("{}: cannot be read ({}); choose a file that can", file.string(), std::strerror(errno));
  }
  struct stat about{};
  if (::fstat(opened.fd, &about) != 0)
    throw failure("{}: cannot be read: {}", file.string(), std::strerror(errno));
  if (S_ISDIR(about.st_mode)) throw error("{}: is a folder, a file is needed", file.string());
  if (!S_ISREG(about.st_mode)) throw error("{}: is not a regular file", file.string());
  size = static_cast<uint64_t>(about.st_size);
  return opened;
}

void sync_path(const fs::path& path, int flags) {
  Descriptor opened(::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags));
  if (opened.fd < 0) throw_unwritable(path, errno);
  // Some file systems cannot sync a folder and say EINVAL; there is nothing more to do then.
  if (::fsync(opened.fd) != 0 && errno != EINVAL) throw_unwritable(path, errno);
}

}  // namespace

void throw_unwritable(const fs::path& file, int reason) {
  switch (reason) {
    case EACCES:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENOENT:
    case ENOTDIR:
    case EPERM:
    case EROFS:
      throw error("{}: cannot be written ({}); choose a folder that exists and takes files", file.string(),
                  std::strerror(reason));
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      throw failure("{}: not written, the disk is full ({}); free some space or choose another disk",
                    file.string(), std::strerror(reason));
    default:
      throw failure("{}: not written: {}", file.string(), std::strerror(reason));
  }
}

std::string read_file(const fs::path& file, uint64_t max_bytes) {
  uint64_t size = 0;
  Descriptor opened = open_to_read(file, size);
  if (size > max_bytes)
    throw error("{}: is {} bytes long, at most {} are read here", file.string(), size, max_bytes);
  std::string text(size, '\0');
  size_t done = 0;
  while (done < text.size()) {
    ssize_t got = ::read(opened.fd, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw failure("{}: cannot be read: {}", file.string(), std::strerror(errno));
    if (got == 0) throw failure("{}: became shorter while it was read", file.string());
    done += static_cast<size_t>(got);
  }
  return text;
}

MappedFile::MappedFile(const fs::path& file) {
  uint64_t size = 0;
  Descriptor opened = open_to_read(file, size);
  if (size == 0) return;  // an empty file cannot be mapped
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.fd, 0);
  if (at == MAP_FAILED) throw failure("{}: cannot be mapped: {}", file.string(), std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(at), size};
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

// The temporary name is fixed, so that what a killed writer left is overwritten by the next one.
NewFile::NewFile(fs::path file)
    : file_(std::move(file)), temporary_(file_.parent_path() / ("." + file_.filename().string() + ".tmp")) {
  std::error_code ignored;
  if (fs::is_directory(file_, ignored)) throw_unwritable(file_, EISDIR);
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw_unwritable(file_, errno);
}

NewFile::~NewFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void NewFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw_unwritable(file_, errno);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
}

void NewFile::commit() {
  if (::fsync(descriptor_) != 0) throw_unwritable(file_, errno);
  if (::rename(temporary_.c_str(), file_.c_str()) != 0) throw_unwritable(file_, errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) throw_unwritable(file_, errno);
  sync_folder(file_.has_parent_path() ? file_.parent_path() : fs::path("."));
}

void write_file(const fs::path& file, std::string_view text) {
  NewFile out(file);
  out.write(text);
  out.commit();
}

LineFile::LineFile(fs::path file, std::string_view lines) : file_(std::move(file)) {
  write_file(file_, lines);
  descriptor_ = ::open(file_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor_ < 0) throw_unwritable(file_, errno);
}

LineFile::~LineFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void LineFile::append(std::string_view line) {
  const off_t end = ::lseek(descriptor_, 0, SEEK_END);
  while (!line.empty()) {
    const ssize_t put = ::write(descriptor_, line.data(), line.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int reason = errno;
      if (end >= 0 && ::ftruncate(descriptor_, end) != 0)
        throw failure("{}: its last line is cut off: {}", file_.string(), std::strerror(reason));
      throw_unwritable(file_, reason);
    }
    line.remove_prefix(static_cast<size_t>(put));
  }
}

void LineFile::sync() {
  if (::fsync(descriptor_) != 0) throw_unwritable(file_, errno);
}

void sync_folder(const fs::path& folder) { sync_path(folder, O_DIRECTORY); }

void sync_tree(const fs::path& folder) {
  try {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_directory())
        sync_folder(entry.path());
      else if (entry.is_regular_file())
        sync_path(entry.path(), 0);
    }
  } catch (const fs::filesystem_error& failed) {
    throw failure("{}: cannot be listed: {}", folder.string(), failed.code().message());
  }
  sync_folder(folder);
}

}  // namespace tessera
