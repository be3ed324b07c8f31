# Makes the database files where there are none, then becomes the server.
#
# Arguments: the folder with the programs, the folder of the files, how a password is checked, the file
# with the password, the server's settings.
programs=$1 files=$2 auth=$3 password=$4
shift 4
if [ ! -e "$files/PG_VERSION" ]; then
    "$programs/initdb" -D "$files" -U postgres -A "$auth" --pwfile="$password" \
        -E UTF8 --locale=C --no-sync || exit
fi
exec "$programs/postgres" -D "$files" "$@"
