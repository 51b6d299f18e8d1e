# SPDX-License-Identifier: Apache-2.0
# Copy the schema INPUT to OUTPUT with every field of type string made bytes. Both have the same encoding.
file(READ ${INPUT} text)
string(REGEX REPLACE "\n( +(repeated )?)string ([a-z_0-9]+ = )" "\n\\1bytes \\3" text "${text}")
get_filename_component(folder ${OUTPUT} DIRECTORY)
file(MAKE_DIRECTORY ${folder})
file(WRITE ${OUTPUT} "${text}")
