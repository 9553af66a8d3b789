// The stand-in for the driver's header of the same name: tensor maps, as tma.hpp beside it reads them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>

using cuuint64_t = std::uint64_t;
using cuuint32_t = std::uint32_t;
enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };
enum CUtensorMapDataType { CU_TENSOR_MAP_DATA_TYPE_UINT8, CU_TENSOR_MAP_DATA_TYPE_FLOAT32 };
enum CUtensorMapInterleave { CU_TENSOR_MAP_INTERLEAVE_NONE };
enum CUtensorMapSwizzle { CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_128B };
enum CUtensorMapL2promotion { CU_TENSOR_MAP_L2_PROMOTION_L2_256B };
enum CUtensorMapFloatOOBfill { CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE };

struct alignas(64) CUtensorMap {
  unsigned char const* data;
  std::uint64_t cols, rows, stride;
  std::uint32_t box_cols, box_rows, element_bytes;
  bool swizzled;
  unsigned char rest[79];
};
static_assert(sizeof(CUtensorMap) == 128);

/// Refuses what the driver's page says that it refuses.
inline CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data, cuuint64_t const* sizes,
                                       cuuint64_t const* strides, cuuint32_t const* box, cuuint32_t const* steps, CUtensorMapInterleave,
                                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  std::uint32_t const element = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 1;
  bool good = reinterpret_cast<std::uintptr_t>(map) % 64 == 0 && reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && rank == 2 &&
              strides[0] % 16 == 0 && strides[0] < std::uint64_t{1} << 40 && box[0] * element % 16 == 0;
  for (int i = 0; i < 2; ++i)
    good = good && sizes[i] > 0 && sizes[i] <= std::uint64_t{1} << 32 && box[i] > 0 && box[i] <= 256 && steps[i] == 1;
  if (swizzle == CU_TENSOR_MAP_SWIZZLE_128B) good = good && box[0] * element <= 128;
  if (!good) return CUDA_ERROR_INVALID_VALUE;
  *map = {static_cast<unsigned char const*>(data), sizes[0], sizes[1], strides[0], box[0], box[1], element,
          swizzle == CU_TENSOR_MAP_SWIZZLE_128B,   {}};
  return CUDA_SUCCESS;
}
inline cudaError_t cudaGetDriverEntryPointByVersion(char const* name, void** symbol, unsigned, unsigned long long,
                                                    cudaDriverEntryPointQueryResult* found) {
  bool const known = std::strcmp(name, "cuTensorMapEncodeTiled") == 0;
  *symbol = known ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
