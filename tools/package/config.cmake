# find_package(cycle_gan_distil) defines cycle_gan_distil::cycle_gan_distil, the
# folder with the header; nothing is linked.
if(NOT TARGET cycle_gan_distil::cycle_gan_distil)
    get_filename_component(_cgd_include
        "${CMAKE_CURRENT_LIST_DIR}/../../../include" ABSOLUTE)
    add_library(cycle_gan_distil::cycle_gan_distil INTERFACE IMPORTED)
    set_target_properties(cycle_gan_distil::cycle_gan_distil PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${_cgd_include}")
    unset(_cgd_include)
endif()
