# Headers, one export set per component, and the package file. All three components are installed whether or not this build has Kokkos: they
# are headers, and the package file looks for Kokkos where it is asked for the component kokkos.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_DATADIR}/cmake/moesaic)  # not below lib: nothing here depends on the architecture

# `cmake --install DIR --component moesaic`, or moesaic_cpu or moesaic_kokkos, installs one alone; each needs those before it.
foreach(component moesaic cpu kokkos)
  set(part moesaic_${component})
  if(component STREQUAL "moesaic")
    set(part moesaic)
    install(DIRECTORY include/moesaic DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT ${part}
      FILES_MATCHING PATTERN "*.hpp" REGEX "/moesaic/(cpu|kokkos)([.]hpp)?$" EXCLUDE)
  else()
    install(DIRECTORY include/moesaic/${component} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moesaic COMPONENT ${part} FILES_MATCHING PATTERN "*.hpp")
    install(FILES include/moesaic/${component}.hpp DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moesaic COMPONENT ${part})
  endif()
  install(TARGETS moesaic_${component} EXPORT moesaic-${component} INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT moesaic-${component} NAMESPACE moesaic:: FILE moesaic-${component}-targets.cmake DESTINATION ${package} COMPONENT ${part})
endforeach()

# Until 1.0 any minor version may change any interface: a consumer of 0.1 gets no 0.2.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/moesaic-config-version.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES cmake/moesaic-config.cmake ${PROJECT_BINARY_DIR}/moesaic-config-version.cmake DESTINATION ${package} COMPONENT moesaic)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT moesaic)
