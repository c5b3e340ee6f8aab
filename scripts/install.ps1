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
# Columns, buttons and colours. What the user has made of them stays: .installed tells what was put there, and what is still the
# same becomes that of this version. Stratoshark writes all its settings into two of the files, among which are ours.
$new = First "$PSScriptRoot\CloudTrail Analysis", "$root\plugin-config\stratoshark\CloudTrail Analysis"
$analysis = "$stratoshark\profiles\CloudTrail Analysis"
$was = "$analysis\.installed"
# The lines of a file of settings that are about these keys, or all others.
function Entries([string] $file, [string[]] $keys, [switch] $others) {
    $ours = $false
    foreach ($line in [IO.File]::ReadAllLines($file)) {
        if ($line -match '^\S') { $ours = ($line -split ':')[0] -in $keys }
        if ($ours -xor $others) { $line }
    }
}
# What a file says, of these keys if there are any, however it is laid out.
function Says([string] $file, [string[]] $keys) {
    if (-not (Test-Path $file)) { return $null }
    if (-not $keys) { return [IO.File]::ReadAllText($file) }
    ((Entries $file $keys) -join '') -replace '[\s"]|:0:U', ''
}
if ($new -and -not (Test-Path $analysis)) {
    Copy-Item -Recurse $new $analysis
    Copy-Item -Recurse $new $was
    Write-Output 'Stratoshark: the profile "CloudTrail Analysis"; choose it at the right end of the status bar'
} elseif ($new -and -not (Test-Path $was)) {
    Write-Output "Stratoshark: kept your profile $analysis, since nothing tells whether you have changed it. To have the new one, rename it and run this again"
} elseif ($new) {
    $kept = @()
    $columns = $false
    foreach ($file in Get-ChildItem -File $new | Sort-Object Name) {
        $name = $file.Name
        $keys = @()
        $gone = @()
        # What is hidden is there twice, once Stratoshark has written it.
        if ($name -eq 'preferences') { $keys = 'gui.column.hide', 'gui.column.format'; $gone = 'gui.column.hidden' }
        if ($name -eq 'recent') { $keys = @('column.width') }
        $mine = Says "$analysis\$name" $keys
        $before = Says "$was\$name" $keys
        if ($null -eq $before -and $null -eq $mine) {
            Copy-Item $file.FullName "$analysis\$name"
        } elseif ((Says $file.FullName $keys) -ceq $before) {
            continue # Nothing new.
        # New columns come with their widths, for one without any is hardly to be seen.
        } elseif ($null -eq $mine -or ($mine -cne $before -and -not ($columns -and $name -eq 'recent'))) {
            $kept += $name
            continue
        } elseif (-not $keys) {
            Copy-Item -Force $file.FullName "$analysis\$name"
        } else {
            [IO.File]::WriteAllLines("$analysis\$name", [string[]] (@(Entries "$analysis\$name" ($keys + $gone) -others) + @(Entries $file.FullName $keys)))
            $columns = $columns -or $name -eq 'preferences'
        }
        Copy-Item -Force $file.FullName "$was\$name"
    }
    $but = if ($kept) { ", but for what you have changed: $kept" }
    Write-Output "Stratoshark: the profile $analysis is this version's$but"
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
