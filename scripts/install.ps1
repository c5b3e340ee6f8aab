# Puts cloudtrail.dll, from beside this script or from scripts/build-all, where Stratoshark looks for this user, and a
# profile and a script for it:   powershell -ExecutionPolicy Bypass -File install.ps1
$ErrorActionPreference = 'Stop'
$stratoshark = "$env:APPDATA\Stratoshark"
$root = Split-Path -Parent $PSScriptRoot
function First([string[]] $paths) { $paths | Where-Object { Test-Path $_ } | Select-Object -First 1 }
$library = First "$PSScriptRoot\cloudtrail.dll", "$root\cloudtrail.dll", "$root\target\dist\windows-x86_64\cloudtrail.dll"
if (-not $library) { throw 'There is no cloudtrail.dll beside this script.' }
New-Item -ItemType Directory -Force "$stratoshark\plugins\falco", "$stratoshark\profiles" | Out-Null
Copy-Item -Force $library "$stratoshark\plugins\falco\cloudtrail.dll"
Write-Output "Stratoshark: $stratoshark\plugins\falco\cloudtrail.dll"
$analysis = First "$PSScriptRoot\CloudTrail Analysis", "$root\plugin-config\stratoshark\CloudTrail Analysis"
if ($analysis -and -not (Test-Path "$stratoshark\profiles\CloudTrail Analysis")) {
    Copy-Item -Recurse $analysis "$stratoshark\profiles"
    Write-Output 'Stratoshark: the profile "CloudTrail Analysis"; choose it at the right end of the status bar'
}
# Lua scripts are above falco, in which every file is taken for a plugin.
$lists = First "$PSScriptRoot\cloudtrail-lists.lua", "$root\plugin-config\stratoshark\cloudtrail-lists.lua"
if ($lists) {
    Copy-Item -Force $lists "$stratoshark\plugins\cloudtrail-lists.lua"
    Write-Output "Stratoshark: $stratoshark\plugins\cloudtrail-lists.lua, lists in the menu Tools > CloudTrail"
}
# Stratoshark's installer brings the official plugin, and a program can't load two of one name.
Get-Item "$env:ProgramFiles\Stratoshark\plugins\falco\*cloudtrail*" -ErrorAction SilentlyContinue |
    ForEach-Object { Write-Output "Delete the official plugin, as an administrator: $_" }
