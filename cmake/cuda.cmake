# What moesaic::cuda and moesaic's own CUDA targets need. A consumer gets the language standard and nothing else: it enables the language and
# chooses the architectures itself.
include_guard()

if(PROJECT_IS_TOP_LEVEL AND (MOESAIC_TESTS OR MOESAIC_EXAMPLES OR MOESAIC_BENCH))
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND MOESAIC_NVCC)
    set(CMAKE_CUDA_COMPILER ${MOESAIC_NVCC})
  endif()
  if(NOT CMAKE_CUDA_HOST_COMPILER AND NOT DEFINED ENV{CUDAHOSTCXX})
    set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)  # CMake 3.25 does not know what nvcc 13 has, so it must not choose
    set(CMAKE_CUDA_ARCHITECTURES 90a-real CACHE STRING "What moesaic's own CUDA targets are compiled for" FORCE)
  endif()
  enable_language(CUDA)
  message(STATUS "moesaic: CUDA ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
  if(NOT MOESAIC_GPU)
    message(STATUS "moesaic: no GPU here, so only one of each kind of its programs is built (all of them: MOESAIC_GPU=ON)")
  endif()
endif()

if("cuda_std_20" IN_LIST CMAKE_CUDA_COMPILE_FEATURES)
  target_compile_features(moesaic_cuda INTERFACE $<BUILD_INTERFACE:cuda_std_20>)
else()  # CMake before 3.25.2 does not know C++20 for nvcc
  target_compile_options(moesaic_cuda INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>>)
endif()
