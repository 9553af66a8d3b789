// operator new out of memory that main() names: pinned host memory that the device reaches by the same address, so that every std::vector
// of a test is a device array too. Not a .cu file: nvcc takes a replaced operator new for one of the device as well.
#include "pinned_new.hpp"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <new>

namespace {

// Blocks of 2^6 … 2^30 bytes; freed ones are kept in a list for each size. Each starts with 64 bytes that hold its size.
struct arena {
  static constexpr std::size_t header = 64;
  char* base = nullptr;  // null until main has memory: malloc serves before
  std::size_t bytes = 0, used = 0;
  void* free_blocks[32] = {};
  std::mutex mutex;

  bool owns(void const* p) const { return base != nullptr && p >= base && p < base + bytes; }

  static int size_class(std::size_t n) {
    int c = 6;
    while ((std::size_t{1} << c) < n) ++c;
    return c;
  }
  void* take(std::size_t n) {
    int const c = size_class(n + header);
    std::lock_guard const lock(mutex);
    char* block = static_cast<char*>(free_blocks[c]);
    if (block != nullptr) {
      free_blocks[c] = *reinterpret_cast<void**>(block);
    } else {
      if (bytes - used < std::size_t{1} << c) return nullptr;
      block = base + used;
      used += std::size_t{1} << c;
    }
    *reinterpret_cast<std::size_t*>(block) = static_cast<std::size_t>(c);
    return block + header;
  }
  void give(void* p) {
    char* const block = static_cast<char*>(p) - header;
    std::size_t const c = *reinterpret_cast<std::size_t*>(block);
    std::lock_guard const lock(mutex);
    *reinterpret_cast<void**>(block) = free_blocks[c];
    free_blocks[c] = block;
  }
};
arena& all() {
  alignas(arena) static unsigned char storage[sizeof(arena)];
  static arena* const a = ::new (static_cast<void*>(storage)) arena;  // never destroyed: statics of tests may outlive it
  return *a;
}

void* allocate(std::size_t n, std::size_t alignment) {
  arena& a = all();
  if (a.base == nullptr) return std::aligned_alloc(alignment < 16 ? 16 : alignment, (n + alignment + 63) / 64 * 64);
  if (alignment > arena::header) {
    std::fprintf(stderr, "pinned_new.cpp aligns to no more than 64 bytes\n");
    std::abort();
  }
  void* const p = a.take(n);
  if (p == nullptr) {
    std::fprintf(stderr, "pinned_new.cpp: %zu bytes of memory are used up\n", a.bytes);
    std::abort();
  }
  return p;
}
void release(void* p) {
  if (p == nullptr) return;
  if (all().owns(p))
    all().give(p);
  else
    std::free(p);
}

}  // namespace

void use_for_new(void* memory, std::size_t bytes) {
  all().bytes = bytes;
  all().base = static_cast<char*>(memory);
}

void* operator new(std::size_t n) { return allocate(n, 16); }
void* operator new[](std::size_t n) { return allocate(n, 16); }
void* operator new(std::size_t n, std::align_val_t a) { return allocate(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return allocate(n, static_cast<std::size_t>(a)); }
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }
